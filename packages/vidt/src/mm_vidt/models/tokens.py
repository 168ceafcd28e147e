"""What a ViDT computes before its heads."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ViDTTokens(NamedTuple):
    """Tokens of the patches and of the queries, and the boxes that are refined with them.

    Attributes:
        memory: maps that the neck gives, ``(B, C, h, w)`` each, in its order (coarsest first with :class:`EPFF`).
        masks: True where they are padded, ``(B, h, w)`` each.
        det: projected [DET] tokens of the body, ``(B, N, C)``.
        query_pos: their positions, the same for all images, ``(1, N, C)``.
        reference: the points (cx, cy) in [0, 1] that boxes start from, ``(1, N, 2)``.
        hidden: states of all levels, ``(L + 1, B, N, C)``; the first are those of ``det``.
        boxes: (cx, cy, w, h) in [0, 1] of the image without padding, of all levels, ``(L + 1, B, N, 4)``.
    """

    memory: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    det: Tensor
    query_pos: Tensor
    reference: Tensor
    hidden: Tensor
    boxes: Tensor
