"""The plain ViT that the paper compares with: maps of four strides from four depths of one trunk.

Official code: Traffic-X/ViT-CoMer @ b57f386, detection/mmdet_custom/models/backbones/vit_baseline.py (Apache-2.0),
whose parameter names are kept. Images of any size are new.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmrepro.dense.image_padding import cut, padded
from mmrepro.dense.plain_vit import NORM_EPS, PlainViT
from mmrepro.dense.token_levels import to_map

GROUPS = 32  # of the norm between the two upsampling layers


@MODELS.register_module()
class ViTBaseline(PlainViT):
    """The baseline: images (B, 3, h, w) to four maps of C channels at strides 4, 8, 16 and 32.

    Args:
        out_indices: the four blocks whose tokens become maps, in order.
        **trunk: arguments of :class:`PlainViT`.

    Raises:
        ValueError: there are not four blocks in order, or the trunk has not got them.
    """

    def __init__(self, out_indices: Sequence[int] = (2, 5, 8, 11), **trunk: Any):
        super().__init__(**trunk)
        self.out_indices = tuple(out_indices)
        rising = all(first < second for first, second in pairwise((-1, *self.out_indices, len(self.blocks))))
        if len(self.out_indices) != 4 or not rising:
            raise ValueError(
                f"out_indices={self.out_indices} must be four of the blocks 0 to {len(self.blocks) - 1} in order"
            )
        dim = self.embed_dim
        for k in (1, 2, 3, 4):
            self.add_module(f"norm{k}", nn.LayerNorm(dim, eps=NORM_EPS))
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(dim, dim, 2, stride=2),
            nn.GroupNorm(GROUPS, dim),
            nn.GELU(),
            nn.ConvTranspose2d(dim, dim, 2, stride=2),
        )
        self.up2 = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.up3 = nn.Identity()
        self.up4 = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the maps at strides 4, 8, 16 and 32.

        Args:
            images: (B, 3, h, w) of any size; inside they are filled up with zeros at the bottom and the right to
                multiples of 32.

        Returns:
            Maps (B, C, ceil(h/s), ceil(w/s)) for each stride s.

        Raises:
            ValueError: images have another shape.
        """
        size = images.shape[-2:]
        tokens, height, width = self.embed(padded(images))
        maps, first = [], 0
        norms = self.norm1, self.norm2, self.norm3, self.norm4
        resizes = self.up1, self.up2, self.up3, self.up4
        for last, norm, resize, stride in zip(self.out_indices, norms, resizes, (4, 8, 16, 32), strict=True):
            tokens = self.run_blocks(tokens, height, width, first, last)
            maps.append(cut(resize(to_map(norm(tokens), height, width)), *size, stride))
            first = last + 1
        return tuple(maps)
