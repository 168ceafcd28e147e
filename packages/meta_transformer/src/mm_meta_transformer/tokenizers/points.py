"""Clouds of points to tokens: each token is a group of points around a centre (paper, section 3.2).

Centres are chosen far from each other, each takes its nearest points, and two small networks with a maximum over the
group make one token of them. Class token and positions are the tokenizer's; positions are added before every block of
the encoder, so they go out beside the tokens, unless ``add_pos_each_block`` is false.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.models.point_layers import point_layer, pooled_groups
from mm_meta_transformer.models.point_ops import farthest_points, nearest_points, rows_of

from .tokens import Tokens


class _PointTokenizer(BaseModule):
    """What both tokenizers share: the class token, and a position for each centre.

    Args:
        embed_dims: channels of a token.
        sample_ratio: centres for each point.
        group_size: points of a group.
        class_token: whether a class token, with a position of its own, comes first.
        position: whether there are positions.
        add_pos_each_block: whether positions go out beside the tokens, to be added before every block of the encoder;
            otherwise they are added to the tokens.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        embed_dims: int,
        sample_ratio: float,
        group_size: int,
        class_token: bool,
        position: bool,
        add_pos_each_block: bool,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dims, self.sample_ratio, self.group_size = embed_dims, sample_ratio, group_size
        self.add_pos_each_block = add_pos_each_block
        self.cls_token = self.cls_pos = self.pos_embed = None
        if class_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dims).normal_(std=0.02))
        if position:
            hidden = nn.Sequential(nn.Linear(3, 128), nn.GELU())
            self.pos_embed = nn.Sequential(hidden, nn.Linear(128, embed_dims))
            if class_token:
                self.cls_pos = nn.Parameter(torch.empty(1, 1, embed_dims).normal_(std=0.02))

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: how clouds are cut, and where positions are added."""
        return {
            "group_size": self.group_size,
            "sample_ratio": self.sample_ratio,
            "add_pos_each_block": self.add_pos_each_block,
        }

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tokens:
        """Make tokens of clouds.

        Args:
            inputs: ``points (B, N, 3)`` alone, or a dict of them and maybe ``features (B, N, C)``; without features the
                coordinates are the features.

        Returns:
            ``(B, [1 +] M, embed_dims)``; ``info`` has the ``centres (B, M, 3)``, the ``position`` of every token that
            has not been added, the number of tokens before the groups (``prefix``), and ``levels``, a list of
            ``(points, features)`` with features ``(B, C, N)``, of the clouds before the last sampling, for decoders.

        Raises:
            ValueError: the shapes are others, a coordinate or feature is not finite, or there are fewer points than a
                group has.
        """
        points, features = _checked(inputs)
        levels, centres, tokens = self.embed(points, features)
        batch = len(points)
        position = None if self.pos_embed is None else self.pos_embed(centres)
        if self.cls_token is not None:
            tokens = torch.cat((self.cls_token.expand(batch, -1, -1), tokens), 1)
            if position is not None:
                position = torch.cat((self.cls_pos.expand(batch, -1, -1), position), 1)
        info: dict[str, Any] = {"centres": centres, "levels": levels, "prefix": int(self.cls_token is not None)}
        if position is not None and self.add_pos_each_block:
            info["position"] = position
        elif position is not None:
            tokens = tokens + position
        return Tokens(tokens, None, info)

    def embed(self, points: Tensor, features: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
        """Return the levels before the last sampling, the centres ``(B, M, 3)`` and the groups ``(B, M, C)``."""
        raise NotImplementedError

    def _grouped(self, points: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return indices of the centres ``(B, M)``, the centres, and indices of the points of each group."""
        if points.shape[1] < self.group_size or count < 1:
            raise ValueError(
                f"clouds of {points.shape[1]} points cannot be cut into groups of {self.group_size}. "
                "Fix: clouds of more points (SamplePoints repeats them), or a smaller group_size of the tokenizer"
            )
        chosen = farthest_points(points, count)
        centres = rows_of(points, chosen)
        return chosen, centres, nearest_points(points, centres, self.group_size)[1]


@MODELS.register_module()
class PointPatchTokenizer(_PointTokenizer):
    """Tokens of where the points of a group lie, seen from its centre (the official model for ModelNet40).

    Args:
        embed_dims: channels of a token.
        sample_ratio: centres for each point.
        group_size: points of a group.
        channels: of the layers before the last.
        norm: ``"bn"``, ``"ln"`` or None, after every second layer.
        class_token: whether a class token, with a position of its own, comes first.
        position: whether there are positions.
        add_pos_each_block: whether positions are added before every block of the encoder, or once, to the tokens.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        embed_dims: int = 768,
        sample_ratio: float = 0.25,
        group_size: int = 32,
        channels: Sequence[int] = (128, 256, 512),
        norm: str | None = "bn",
        class_token: bool = True,
        position: bool = True,
        add_pos_each_block: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(embed_dims, sample_ratio, group_size, class_token, position, add_pos_each_block, init_cfg)
        one, two, three = channels
        self.conv1 = nn.Sequential(point_layer(3, one, norm), point_layer(one, two, None, act=False))
        self.conv2 = nn.Sequential(point_layer(2 * two, three, norm), point_layer(three, embed_dims, None, act=False))

    def embed(self, points: Tensor, features: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
        """Return the levels before the last sampling, the centres ``(B, M, 3)`` and the groups ``(B, M, C)``."""
        _, centres, index = self._grouped(points, int(points.shape[1] * self.sample_ratio))
        offsets = rows_of(points, index) - centres[:, :, None]
        groups = pooled_groups(offsets, self.conv1, self.conv2)
        return [(points, features.transpose(1, 2))], centres, groups


@MODELS.register_module()
class P3Tokenizer(_PointTokenizer):
    """Tokens of places and features in one or several stages, each with a quarter of the points of the one before.

    It is the official embedding for ScanObjectNN, S3DIS, ScanNet and ShapeNetPart.

    Args:
        embed_dims: channels of a token.
        in_channels: channels of the features.
        sample_ratio: centres for each point: 1/4 is one stage, 1/16 are two.
        group_size: points of a group.
        norm: ``"bn"``, ``"ln"`` or None.
        feature_type: what of a point's features is read, beside its place from the centre (``dp``): ``"dp_df"``, their
            difference from the centre's, or ``"dp_fj"``, the features themselves.
        class_token: whether a class token, with a position of its own, comes first.
        position: whether there are positions.
        add_pos_each_block: whether positions are added before every block of the encoder, or once, to the tokens.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the ratio is no power of 1/4, ``embed_dims`` cannot be halved for each stage, or the feature type is
            not known.
    """

    def __init__(
        self,
        embed_dims: int = 768,
        in_channels: int = 3,
        sample_ratio: float = 0.25,
        group_size: int = 32,
        norm: str | None = "bn",
        feature_type: Literal["dp_df", "dp_fj"] = "dp_df",
        class_token: bool = True,
        position: bool = True,
        add_pos_each_block: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(embed_dims, sample_ratio, group_size, class_token, position, add_pos_each_block, init_cfg)
        stages = round(-math.log(sample_ratio, 4))
        if stages < 1 or not math.isclose(4.0**-stages, sample_ratio):
            raise ValueError(f"sample_ratio={sample_ratio} is no power of 1/4. Fix: 0.25, 0.0625, ...")
        if embed_dims % 2 ** (stages - 1):
            raise ValueError(f"embed_dims={embed_dims} must be divisible by {2 ** (stages - 1)} for {stages} stages")
        if feature_type not in ("dp_df", "dp_fj"):
            raise ValueError(f"feature_type={feature_type!r} is not known. Fix: 'dp_df' or 'dp_fj'")
        self.in_channels, self.feature_type = in_channels, feature_type
        self.channels = [embed_dims // 2 ** (stages - stage) for stage in range(1, stages + 1)]
        self.convs = nn.ModuleList()
        for width, before in zip(self.channels, (in_channels, *self.channels), strict=False):
            first = nn.Sequential(point_layer(3 + before, width, norm), point_layer(width, width, None, act=False))
            second = nn.Sequential(point_layer(2 * width, 2 * width, norm), point_layer(2 * width, width, norm))
            self.convs.append(nn.ModuleList((first, second)))

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: how clouds are cut, what is read of a group, and where positions are added."""
        return super().invisible_settings | {"feature_type": self.feature_type}

    def embed(self, points: Tensor, features: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
        """Return the levels before the last sampling, the centres ``(B, M, 3)`` and the groups ``(B, M, C)``."""
        if features.shape[-1] != self.in_channels:
            raise ValueError(
                f"features have {features.shape[-1]} channels, the tokenizer reads {self.in_channels}. "
                f"Fix: in_channels={features.shape[-1]}, or keys of PointFeatures"
            )
        levels = []
        for first, second in self.convs:
            chosen, centres, index = self._grouped(points, points.shape[1] // 4)
            levels.append((points, features.transpose(1, 2)))
            offsets = rows_of(points, index) - centres[:, :, None]
            own = rows_of(features, index)
            if self.feature_type == "dp_df":
                own = own - rows_of(features, chosen)[:, :, None]
            features = pooled_groups(torch.cat((offsets, own), -1), first, second)
            points = centres
        return levels, points, features


def _checked(inputs: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    points = inputs if isinstance(inputs, Tensor) else inputs["points"]
    features = points if isinstance(inputs, Tensor) else inputs.get("features", points)
    if points.dim() != 3 or points.shape[-1] != 3 or features.dim() != 3 or features.shape[:2] != points.shape[:2]:
        raise ValueError(
            f"points are {tuple(points.shape)} and features {tuple(features.shape)}; "
            "needed are (B, N, 3) and (B, N, channels). Fix: the pipeline, or PackMetaInputs's keys"
        )
    # On a GPU the look at all of them would wait for the device in every step.
    for what, values in (("point", points), ("the feature of point", features)):
        if values.device.type == "cpu" and not values.isfinite().all():
            cloud, point, _ = (~values.isfinite()).nonzero()[0].tolist()
            raise ValueError(f"{what} {point} of cloud {cloud} of the batch is not finite. Fix: leave such points out")
    return points, features
