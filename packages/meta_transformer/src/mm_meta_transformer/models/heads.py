"""The linear head of all classifying tasks: one label of many, several labels at once, or one logit for yes and no."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn


@MODELS.register_module()
class MetaLinearHead(BaseModule):
    """``Linear(in_channels, num_classes)``, its loss and its predictions.

    Args:
        num_classes: logits per sample. With 1 there are two classes, and the logit is that of class 1.
        in_channels: channels of a pooled feature.
        loss: called with the logits ``(B, K)`` and the targets: class numbers ``(B,)``, or where a sample has a
            ``gt_score`` (mixed or several labels) values ``(B, K)``. Cross-entropy by default, the binary one for one
            logit and for ``multi_label``.
        multi_label: every class is a question of its own: scores are sigmoids, and targets ``(B, K)`` of 0 and 1.
        dropout: before the linear layer.
        init_scale: the initial weights are multiplied by it; biases begin at 0.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict[str, Any] | None = None,
        multi_label: bool = False,
        dropout: float = 0.0,
        init_scale: float = 1.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="TruncNormal", layer="Linear", std=0.02 * init_scale))
        self.num_classes, self.multi_label = num_classes, multi_label
        self.binary = num_classes == 1
        self.loss_module = MODELS.build(loss or dict(type="CrossEntropyLoss", use_sigmoid=self.binary or multi_label))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: whether classes exclude each other."""
        return {"multi_label": self.multi_label}

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``(B, K)`` of pooled features ``(B, C)``."""
        return self.fc(self.dropout(features))

    def loss(self, features: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Return ``{"loss": scalar}``.

        Raises:
            ValueError: a sample has no label.
        """
        logits = self(features)
        return {"loss": self.loss_module(logits, self.targets(data_samples, logits))}

    def predict(self, features: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with ``pred_score`` ``(K,)`` and ``pred_label``; two scores for one logit."""
        return self.labelled(self.scores(self(features)), data_samples)

    def labelled(self, scores: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with scores ``(B, K)`` as ``pred_score`` and the best one's class as ``pred_label``."""
        samples = data_samples or [DataSample() for _ in scores]
        for sample, score in zip(samples, scores, strict=True):
            sample.set_pred_score(score).set_pred_label(score.argmax().reshape(1))
        return samples

    def scores(self, logits: Tensor) -> Tensor:
        """Return the scores ``(B, K)`` of logits, ``(B, 2)`` for one logit."""
        if self.binary:
            return torch.cat((-logits, logits), 1).sigmoid()
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def targets(self, data_samples: list[DataSample], logits: Tensor) -> Tensor:
        """Return what the loss compares logits ``(B, K)`` with.

        Raises:
            ValueError: a sample has no label or an unknown one, or only some have a ``gt_score``; they are named.
        """
        bare = [
            index for index, sample in enumerate(data_samples) if not ("gt_label" in sample or "gt_score" in sample)
        ]
        if bare:
            raise ValueError(f"samples {bare} of the batch have no gt_label: the data set must give every sample one")
        unscored = [index for index, sample in enumerate(data_samples) if "gt_score" not in sample]
        if 0 < len(unscored) < len(data_samples):
            raise ValueError(
                f"samples {unscored} of the batch have no gt_score, the others have. Fix: give it to all or to none"
            )
        if not unscored:
            return torch.stack([sample.gt_score for sample in data_samples]).to(logits)
        self._check(data_samples)
        if self.multi_label:
            hot = [F.one_hot(sample.gt_label, self.num_classes).amax(0) for sample in data_samples]
            return torch.stack(hot).to(logits)
        labels = torch.cat([sample.gt_label for sample in data_samples])
        return labels[:, None].to(logits) if self.binary else labels.to(logits.device)

    def _check(self, data_samples: list[DataSample]) -> None:
        classes = max(2, self.num_classes)
        labels = torch.cat([sample.gt_label for sample in data_samples])
        if labels.device.type != "cpu" and not self.binary:  # this would wait for the device, which has a check there
            return
        if bool(((labels >= 0) & (labels < classes)).all()):
            return
        for index, sample in enumerate(data_samples):
            found = sample.gt_label.tolist()
            if not all(0 <= label < classes for label in found):
                raise ValueError(
                    f"sample {index} of the batch has the label {found}, the head knows 0 to {classes - 1}. "
                    "Fix: num_classes of the head, or the data set's labels"
                )
