"""Heads of point clouds: a small network for whole clouds, and one for each point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer.models.heads import MetaLinearHead
from mm_meta_transformer.models.point_layers import global_features, point_layer


@MODELS.register_module()
class PointClsHead(MetaLinearHead):
    """Hidden layers with a norm, ReLU and dropout, then the classes.

    Args:
        num_classes: logits per cloud.
        in_channels: channels of a cloud's feature.
        hidden: channels of the hidden layers.
        loss: as of :class:`.MetaLinearHead`.
        dropout: after each hidden layer; with 0 there is no such layer, which the numbers in the weights' names show.
        norm: ``"bn"``, ``"ln"`` or None, of the hidden layers.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden: Sequence[int] = (256, 256),
        loss: dict[str, Any] | None = None,
        dropout: float = 0.5,
        norm: str | None = "bn",
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, loss, init_cfg=init_cfg)
        self.fc = _layers(in_channels, hidden, num_classes, norm, dropout, dims=0)


@MODELS.register_module()
class PointSegHead(BaseModule):
    """Hidden layers, then the classes, of every point; its loss and its predictions.

    Args:
        num_classes: logits per point.
        in_channels: channels of a point's feature.
        hidden: channels of the hidden layers; None for one as wide as its input.
        norm: ``"bn"``, ``"ln"`` or None, of the hidden layers.
        dropout: as of :class:`PointClsHead`.
        append: of ``"max"`` and ``"avg"``: summaries of the cloud that are appended to every point first.
        loss: called with the logits ``(B, K, N)``, the labels ``(B, N)`` and, where the samples have a ``point_mask``,
            the mask ``(B, N)``.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden: Sequence[int] | None = (256,),
        norm: str | None = "bn",
        dropout: float = 0.5,
        append: Sequence[str] = (),
        loss: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes, self.append = num_classes, tuple(append)
        in_channels *= 1 + len(self.append)
        self.fc = _layers(in_channels, (in_channels,) if hidden is None else hidden, num_classes, norm, dropout, dims=1)
        self.loss_module = MODELS.build(loss or dict(type="PointCrossEntropy"))

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: which summaries are appended."""
        return {"append": ",".join(self.append)}

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(B, K, N)`` of features ``(B, C, N)``."""
        if self.append:
            summary = global_features(features, self.append)[..., None]
            features = torch.cat((features, summary.expand(-1, -1, features.shape[-1])), 1)
        return self.fc(features)

    def loss(self, features: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Return ``{"loss": scalar}``.

        Raises:
            ValueError: a sample has no labels.
        """
        bare = [index for index, sample in enumerate(data_samples) if "gt_points" not in sample]
        if bare:
            raise ValueError(f"samples {bare} of the batch have no gt_points. Fix: fields of PackMetaInputs")
        labels = torch.stack([sample.gt_points for sample in data_samples])
        masked = "point_mask" in data_samples[0]
        mask = (torch.stack([sample.point_mask for sample in data_samples]),) if masked else ()
        return {"loss": self.loss_module(self(features), labels, *mask)}


def _layers(
    in_channels: int, hidden: Sequence[int], num_classes: int, norm: str | None, dropout: float, dims: int
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(point_layer(in_channels, width, norm, dims=dims))
        if dropout:
            layers.append(nn.Dropout(dropout))
        in_channels = width
    return nn.Sequential(*layers, point_layer(in_channels, num_classes, None, act=False, dims=dims))
