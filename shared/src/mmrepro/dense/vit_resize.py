"""A plain ViT's weights at another size, as ViT-Adapter resizes them; what already fits is returned as it is."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from mmrepro.dense.position_embedding import PositionEmbedding


def resize_grid(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a square position table at another size, as the backbones resize their own in every forward.

    Args:
        table: ``(1, g*g, C)``, row-major, without a class token.
        size: ``(H, W)`` in tokens.

    Returns:
        ``(1, H*W, C)``.

    Raises:
        ValueError: the table is not that of a square.
    """
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        raise ValueError(f"a position table of {table.shape[1]} rows is not one of a square grid")
    grid = PositionEmbedding(pretrain_size=side, patch_size=1, class_row=False)
    return grid.resized(table.float(), *size).to(table.dtype)


def resize_patch_kernel(weight: Tensor, size: int) -> Tensor:
    """Return a patch embedding's kernel at another size, bilinear as in ViT-Adapter's 14-to-16 conversion of DINOv2.

    Args:
        weight: ``(D, 3, k, k)``.
        size: the new ``k``.
    """
    if weight.shape[-2:] == (size, size):
        return weight
    return F.interpolate(weight.float(), size=(size, size), mode="bilinear", align_corners=False).to(weight.dtype)
