"""From tokens back to points: features are interpolated, joined with what the tokenizer saw there, and convolved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.models.point_layers import global_features, point_layer
from mm_meta_transformer.models.point_ops import interpolate

_CATEGORY_CHANNELS = 64


@MODELS.register_module()
class PointDecoder(BaseModule):
    """Feature propagation as in PointNet++ (arXiv 1706.02413, section 3.4), deepest level first.

    Args:
        embed_dims: channels of the tokens and of every level's output.
        skip_channels: channels of the levels' own features, those of the input points first.
        global_features: what of the cloud is put before every point's features, in this order: of ``"cls"`` (the class
            token as it was encoded), ``"max"``, ``"avg"`` (of the decoded features).
        num_categories: with part labels, how many kinds of objects there are; the kind is a feature of the input
            points.
        init_cfg: as in mmengine.

    Attributes:
        out_channels: channels of a point's feature.
    """

    def __init__(
        self,
        embed_dims: int = 768,
        skip_channels: Sequence[int] = (7, 384),
        global_features: Sequence[str] = ("cls", "max"),
        num_categories: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_categories, self.global_features = num_categories, tuple(global_features)
        self.out_channels = embed_dims * (1 + len(self.global_features))
        skips = list(skip_channels)
        if num_categories:
            # GELU as in the official part decoder, which takes over the encoder's activation
            self.category = nn.Sequential(nn.Conv1d(num_categories, _CATEGORY_CHANNELS, 1), nn.GELU())
            skips[0] += _CATEGORY_CHANNELS
        self.levels = nn.ModuleList(
            nn.Sequential(
                point_layer(skip + embed_dims, embed_dims, dims=1), point_layer(embed_dims, embed_dims, dims=1)
            )
            for skip in skips
        )

    def forward(
        self,
        levels: list[tuple[Tensor, Tensor]],
        centres: Tensor,
        encoded: Tensor,
        category: Tensor | None = None,
        prefix: int = 1,
    ) -> Tensor:
        """Decode.

        Args:
            levels: ``points (B, N, 3)`` and ``features (B, C, N)`` of each level, the input points first.
            centres: ``(B, M, 3)``, where the tokens are.
            encoded: ``(B, prefix + M, embed_dims)``, the class token first where there is one.
            category: ``(B,)`` int64; needed with ``num_categories``.
            prefix: tokens before those of the centres.

        Returns:
            ``(B, out_channels, N)``.

        Raises:
            ValueError: the number of levels is another, or the category is absent or out of range.
        """
        if len(levels) != len(self.levels):
            raise ValueError(
                f"the tokenizer has {len(levels)} levels, the decoder {len(self.levels)}. "
                "Fix: one of skip_channels for each level (a sample_ratio of 1/16 has two)"
            )
        levels = list(levels)
        if self.num_categories:
            points, features = levels[0]
            kind = self._category(category)[..., None].expand(-1, -1, points.shape[1])
            levels[0] = points, torch.cat((kind, features), 1)
        known_points, known = centres, encoded[:, prefix:]
        for (points, skip), convolve in zip(reversed(levels), reversed(self.levels), strict=True):
            spread = interpolate(points, known_points, known).transpose(1, 2)
            features = convolve(torch.cat((skip, spread), 1))
            known_points, known = points, features.transpose(1, 2)
        summary = global_features(features, self.global_features, encoded[:, 0])[..., None]
        return torch.cat((summary.expand(-1, -1, features.shape[-1]), features), 1)

    def _category(self, category: Tensor | None) -> Tensor:
        """Return the category's features ``(B, channels)``."""
        count = self.num_categories
        if category is None or ((category < 0) | (category >= count)).any():
            found = "absent" if category is None else category.flatten().tolist()
            raise ValueError(
                f"category is {found}; needed is a number from 0 to {count - 1} for each cloud. "
                "Fix: 'category' among keys of PackMetaInputs, or num_categories of the decoder"
            )
        one_hot = nn.functional.one_hot(category.flatten(), count).to(self.category[0].weight)
        return self.category(one_hot[..., None])[..., 0]
