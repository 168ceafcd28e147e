"""Square windows of token maps by views: cut with zero padding, put back without it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def partition(maps: Tensor, size: int) -> Tensor:
    """Cut maps into windows, row by row; the map is filled up with zeros at the bottom and the right.

    Args:
        maps: (B, H, W, C).
        size: side s of a window.

    Returns:
        (B * ceil(H / s) * ceil(W / s), s * s, C), tokens row by row.
    """
    _, height, width, channels = maps.shape
    missing_rows, missing_columns = -height % size, -width % size
    if missing_rows or missing_columns:
        maps = F.pad(maps, (0, 0, 0, missing_columns, 0, missing_rows))
    rows = maps.unflatten(2, (-1, size)).unflatten(1, (-1, size))  # (B, nH, s, nW, s, C)
    return rows.transpose(2, 3).reshape(-1, size * size, channels)


def merge(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """Undo :func:`partition`: put windows together to maps and cut off what was filled up.

    Args:
        windows: (B * ceil(H / s) * ceil(W / s), s * s, C).
        size: side s of a window.
        height, width: H and W of the maps.

    Returns:
        (B, H, W, C).
    """
    down, across = -(-height // size), -(-width // size)
    maps = windows.unflatten(1, (size, size)).unflatten(0, (-1, down, across))  # (B, nH, nW, s, s, C)
    maps = maps.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, nH * s, nW * s, C)
    return maps[:, :height, :width]
