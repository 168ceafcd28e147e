"""The sizes and starts of levels that deformable attention asks for, kept from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


class LevelTables:
    """Two tables of integers for maps of several sizes, kept for the sizes that were last asked for.

    An accelerator is waited for where a table is made and where the operator reads one it has not seen.
    """

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._tables: tuple[Tensor, Tensor] | None = None

    def __call__(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return (H, W) of each level, ``(levels, 2)``, and the index of its first token, ``(levels,)``; int64.

        Args:
            maps: ``(B, C, H, W)`` of each level, on one device.
        """
        if torch.jit.is_tracing() or torch.compiler.is_compiling() or type(maps[0]) is not Tensor:
            return _build(maps)  # what an export traces with must not be kept
        key = (maps[0].device, *(one.shape[-2:] for one in maps))
        if key != self._key:
            with torch.inference_mode(False):  # what is made in inference mode could not serve training later
                self._key, self._tables = key, _build(maps)
        return self._tables


def _build(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    sizes = [tuple(one.shape[-2:]) for one in maps]
    starts = [0, *accumulate(height * width for height, width in sizes[:-1])]
    return tuple(torch.tensor(table, device=maps[0].device) for table in (sizes, starts))
