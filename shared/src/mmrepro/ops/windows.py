"""Square windows of token maps by views, masks of shifted ones, and relative positions of the tokens inside them."""

from __future__ import annotations

import torch
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
    batch, height, width, channels = maps.shape
    missing_rows, missing_columns = -height % size, -width % size
    if missing_rows or missing_columns:
        maps = F.pad(maps, (0, 0, 0, missing_columns, 0, missing_rows))
    down, across = (height + missing_rows) // size, (width + missing_columns) // size
    windows = maps.reshape(batch, down, size, across, size, channels).transpose(2, 3)  # (B, nH, nW, s, s, C)
    return windows.reshape(-1, size * size, channels)


def merge(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """Undo :func:`partition`: put windows together to maps and cut off what was filled up.

    Args:
        windows: (B * ceil(H / s) * ceil(W / s), s * s, C).
        size: side s of a window.
        height, width: H and W of the maps.

    Returns:
        (B, H, W, C).
    """
    down, across, channels = -(-height // size), -(-width // size), windows.shape[-1]
    maps = windows.reshape(-1, down, across, size, size, channels).transpose(2, 3)  # (B, nH, s, nW, s, C)
    maps = maps.reshape(-1, down * size, across * size, channels)
    return maps if maps.shape[1:3] == (height, width) else maps[:, :height, :width]


class ShiftMasks:
    """The mask of shifted windows (Swin, arXiv 2103.14030), kept for the size that was last asked for.

    One object serves the blocks of a stage, which else would each build the same mask in every call.

    Args:
        window: side s of a window.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._key: tuple | None = None
        self._mask: Tensor | None = None

    def __call__(self, size: tuple[int, int], shifts: tuple[int, int], like: Tensor) -> Tensor:
        """Return what is added to the logits: 0 within a region, -100 between regions that were not neighbours.

        Args:
            size: height and width of the padded map.
            shifts: how far each axis was rolled.
            like: a tensor of the wanted device and type.

        Returns:
            ``(windows, s * s, s * s)``.
        """
        if type(like) is not Tensor:  # what torch.export traces with must not be kept
            return self._build(size, shifts, like)
        key = (size, shifts, like.device, like.dtype)
        if key != self._key:
            with torch.inference_mode(False):  # a mask made in inference mode could not serve training later
                self._key, self._mask = key, self._build(size, shifts, like)
        return self._mask

    def _build(self, size: tuple[int, int], shifts: tuple[int, int], like: Tensor) -> Tensor:
        rows, columns = (self._regions(length, shift, like.device) for length, shift in zip(size, shifts, strict=True))
        regions = partition((3 * rows[:, None] + columns)[None, :, :, None], self.window)[..., 0]
        apart = regions[:, None, :] != regions[:, :, None]
        return torch.zeros(apart.shape, dtype=like.dtype, device=like.device).masked_fill_(apart, -100.0)

    def _regions(self, length: int, shift: int, device: torch.device) -> Tensor:
        """Return, per position of an axis, which of the regions it belongs to that the roll brought together."""
        position = torch.arange(length, device=device)
        if shift == 0:
            return torch.zeros_like(position)
        return (position >= length - self.window).long() + (position >= length - shift)


def relative_position_index(size: int) -> Tensor:
    """Return the row of a table of relative position biases for every two tokens of a window.

    The table of Swin (arXiv 2103.14030) and BEiT (arXiv 2106.08254) has (2s - 1)^2 rows: row (dy + s - 1) * (2s - 1) +
    dx + s - 1 is for a query dy rows below and dx columns right of the key.

    Args:
        size: side s of a window.

    Returns:
        int64 (s * s, s * s), query by key, on the CPU.
    """
    # on the CPU even where modules are built on the meta device: what is computed here is in no checkpoint
    line = torch.arange(size, device="cpu")
    return table_rows(line[:, None] - line + size - 1, 2 * size - 1)


def table_rows(offsets: Tensor, row_length: int) -> Tensor:
    """Return the row of a table of biases for each pair of tokens of two square windows.

    Args:
        offsets: (Q, K), from a row of queries to a row of keys, counted from 0; from a column to a column the same.
        row_length: how many offsets of columns a row of offsets has in the table.

    Returns:
        (Q * Q, K * K), tokens row by row.
    """
    queries, keys = offsets.shape
    rows = offsets[:, None, :, None] * row_length + offsets[None, :, None, :]  # (query y, query x, key y, key x)
    return rows.reshape(queries**2, keys**2)
