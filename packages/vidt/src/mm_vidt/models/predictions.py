"""What a ViDT computes for a batch, and what its losses and its post-processing read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ForMatched:
    """What branches predict, computed for those queries alone that are asked for: losses read only the matched ones.

    Args:
        branches: that of each level.
        hidden: what they take, ``(L + 1, B, N, C)``.
    """

    def __init__(self, branches: Sequence[nn.Module], hidden: Tensor) -> None:
        self.branches, self.hidden = branches, hidden

    def __getitem__(self, place: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the outputs ``(L + 1, P, ...)`` in the branches' own type, for losses are computed without autocast.

        Args:
            place: levels, images and queries, each ``(L + 1, P)``; row l is of level l.
        """
        dtype = next(self.branches[0].parameters()).dtype
        chosen = self.hidden[place].to(dtype)  # (L + 1, P, C)
        return torch.stack([branch(one) for branch, one in zip(self.branches, chosen, strict=True)])


@dataclass(frozen=True)
class Predictions:
    """Predictions of L + 1 levels: of the body's tokens (level 0) and of each of the L decoder layers.

    Attributes:
        logits: ``(L + 1, B, N, classes)``.
        boxes: ``(L + 1, B, N, 4)`` as (cx, cy, w, h) in [0, 1] of the image without padding.
        vectors: coefficients of the masks ``(L + 1, B, N, n_keep)``; None without masks. These and the ious
            may be :class:`ForMatched` for losses.
        ious: logits of the boxes' overlap ``(L + 1, B, N, 1)``; None without the IoU-aware head.
        tokens: logits of the token labels by memory level ``(B, h, w, classes)``, in the decoder's order; None without.
    """

    logits: Tensor
    boxes: Tensor
    vectors: Tensor | ForMatched | None = None
    ious: Tensor | ForMatched | None = None
    tokens: list[Tensor] | None = None
