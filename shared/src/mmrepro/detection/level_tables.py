"""What depends on the sizes of feature maps alone, made once and kept from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import torch
from torch import Tensor

Tables = TypeVar("Tables")


class KeptTables(Generic[Tables]):
    """Tables for maps of several sizes, kept for the sizes that were last asked for.

    An accelerator is waited for where a table is made and where an operator reads one it has not seen.

    Args:
        make: makes them from the maps, of which it reads the sizes and the device.
    """

    def __init__(self, make: Callable[[Sequence[Tensor]], Tables]) -> None:
        self._make = make
        self._key: tuple | None = None
        self._tables: Tables | None = None

    def __call__(self, maps: Sequence[Tensor]) -> Tables:
        """Return the tables of maps ``(B, C, H, W)``, which lie on one device."""
        if torch.jit.is_tracing() or torch.compiler.is_compiling() or type(maps[0]) is not Tensor:
            return self._make(maps)  # what an export traces with must not be kept
        key = (maps[0].device, *(one.shape[-2:] for one in maps))
        if key != self._key:
            with torch.inference_mode(False):  # what is made in inference mode could not serve training later
                self._key, self._tables = key, self._make(maps)
        return self._tables


def shapes_and_starts(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return (H, W) of each level, ``(levels, 2)``, and the index of its first token, ``(levels,)``; int64.

    Args:
        maps: ``(B, C, H, W)`` of each level, on one device.
    """
    sizes = [tuple(one.shape[-2:]) for one in maps]
    starts = [0, *accumulate(height * width for height, width in sizes[:-1])]
    return torch.tensor(sizes, device=maps[0].device), torch.tensor(starts, device=maps[0].device)
