"""What encoder and depth predictor are told of the levels: their sizes, cells and places.

The official code makes sine tables, reference points and masks again for every batch. Here nothing is padded, so
that masks are all false, valid ratios are 1, and the rest is the same for every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor

from mmrepro.detection.level_tables import shapes_and_starts


class Levels(NamedTuple):
    """Tables of levels of the sizes (h, w); S is the number of all their cells."""

    shapes: Tensor  # (h, w) of each level, int64, (levels, 2)
    starts: Tensor  # index of each level's first cell, int64, (levels,)
    centres: Tensor  # (x, y) of the cells in [0, 1], (1, S, 1, 2)
    positions: list[Tensor]  # sine embedding of the places of each level, (1, C, h, w)


def level_tables(maps: Sequence[Tensor], embed_dims: int) -> Levels:
    """Return the tables of maps ``(B, C, h, w)``.

    Args:
        maps: of each level, on one device.
        embed_dims: C, channels of the sine embedding.
    """
    device, sizes = maps[0].device, [tuple(one.shape[-2:]) for one in maps]
    centres = []
    for height, width in sizes:
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / width
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
    sine = SinePositionalEncoding(embed_dims // 2, normalize=True)
    empty = [torch.zeros(1, *size, dtype=torch.bool, device=device) for size in sizes]
    return Levels(
        *shapes_and_starts(maps),
        centres=torch.cat(centres)[None, :, None],
        positions=[sine(mask) for mask in empty],
    )
