"""BEiT's relative position bias tables at another size; a table that already fits is returned as it is."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline
from torch import Tensor

CLASS_ROWS = 3
"""Rows of a BEiT table for the class token: from it, to it, and of it with itself; they are the last."""

_SPLINE_DEGREE = 3
_RATIOS = (1.01, 1.5)  # where BEiT's code looks for the ratio of the geometric grid
_RATIO_STEP = 1e-6


def window_of(rows: int) -> int | None:
    """Return the side of the window that a BEiT table of so many rows, class rows or not, is for; None if of none."""
    for count in (rows, rows - CLASS_ROWS):
        side = math.isqrt(max(count, 0))
        if side % 2 and side * side == count:
            return (side + 1) // 2
    return None


def resize_relative_table(table: Tensor, window: int) -> Tensor:
    """Return a BEiT relative position bias table for another window, without rows for a class token.

    The rows of the larger window are offsets one token apart. Those of the file's window are put at offsets that grow
    as a geometric series, so that near offsets keep their bias and the farthest become the farthest; a cubic spline per
    head runs through them (the form of BEiT's own code, microsoft/unilm).

    Args:
        table: ``((2w - 1)**2, heads)`` or 3 class rows more, on the CPU.
        window: the new side in tokens.

    Returns:
        ``((2 * window - 1)**2, heads)``.

    Raises:
        ValueError: the table is that of no window, or of one with too few rows for a cubic spline.
    """
    source = window_of(table.shape[0])
    if source is None:
        raise ValueError(f"a relative position bias table of {table.shape[0]} rows is that of no square window")
    side, wanted = 2 * source - 1, 2 * window - 1
    table = table[: side * side]
    if side == wanted:
        return table
    if side <= _SPLINE_DEGREE:
        raise ValueError(
            f"a table for windows of {source} x {source} tokens has too few rows to resize to {window} x {window}"
        )
    known, sought = _geometric_offsets(side // 2, wanted // 2), np.arange(-(wanted // 2), wanted // 2 + 1)
    heads = table.double().numpy().T.reshape(-1, side, side)
    splines = (RectBivariateSpline(known, known, head, kx=_SPLINE_DEGREE, ky=_SPLINE_DEGREE, s=0) for head in heads)
    resized = np.stack([spline(sought, sought).ravel() for spline in splines], axis=-1)
    return torch.from_numpy(resized).to(table.dtype)


def _geometric_offsets(count: int, farthest: int) -> np.ndarray:
    """Return ``2 * count + 1`` offsets: 0 and on either side 1, 1 + q, 1 + q + q**2, ..., up to about ``farthest``."""
    low, high = _RATIOS
    while high - low > _RATIO_STEP:
        ratio = (low + high) / 2
        if (1 - ratio**count) / (1 - ratio) > farthest:
            high = ratio
        else:
            low = ratio
    positive = np.cumsum(ratio ** np.arange(count))
    return np.concatenate([-positive[::-1], [0.0], positive])
