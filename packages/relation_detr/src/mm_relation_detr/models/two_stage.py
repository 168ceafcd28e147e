"""Proposals of the encoder that queries start from, with less work than in mmdet and the same numbers.

Boxes are predicted for chosen tokens only, not for all of them: the perceptron treats each token alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Proposals(NamedTuple):
    """The best tokens of each image, the best first."""

    tokens: Tensor  # (B, K)
    scores: Tensor  # class logits, (B, K, classes)
    boxes: Tensor  # (cx, cy, w, h) in [0, 1], (B, K, 4)


def propose(features: Tensor, anchors: Tensor, cls_branch: nn.Module, reg_branch: nn.Module, count: int) -> Proposals:
    """Return the tokens with the highest class logit of any class, their logits and their boxes.

    Args:
        features: transformed memory, ``(B, S, C)``.
        anchors: a box per token as logits, infinite where there is none, ``(B, S, 4)``.
        cls_branch, reg_branch: the encoder's heads.
        count: how many; all of them where there are fewer tokens.
    """
    logits = cls_branch(features)
    tokens = top_tokens(logits.max(-1).values, count)
    boxes = (reg_branch(rows(features, tokens)) + rows(anchors, tokens)).sigmoid()
    return Proposals(tokens, rows(logits, tokens), boxes)


def top_tokens(scores: Tensor, count: int) -> Tensor:
    """Return the places of the highest scores, ``(B, S)`` to ``(B, K)``, in descending order.

    Small images have fewer tokens than queries. The official code fails there; here K is at most S.
    """
    return torch.topk(scores, min(count, scores.size(1)), dim=1).indices


def rows(values: Tensor, tokens: Tensor) -> Tensor:
    """Return the chosen tokens' values, ``(B, S, D)`` and ``(B, K)`` to ``(B, K, D)``."""
    return values.gather(1, tokens[..., None].expand(-1, -1, values.size(-1)))
