"""Distillation by token matching (ViDT, arXiv 2110.03921; naver-ai/vidt @ 5207d04, ``loss_distil``)."""

from __future__ import annotations

import torch
from torch import Tensor

from mm_vidt.models.tokens import ViDTTokens

LEAST = 1e-12  # below, the root's slope would be infinite


def token_matching_loss(student: ViDTTokens, teacher: ViDTTokens) -> Tensor:
    """Return how far a student's tokens are from a teacher's of the same places, computed in float32.

    Tokens are matched by their index, none is assigned. With d the mean over tokens of the Euclidean distance over
    channels, it is the root of d of each map of the memory, d of the [DET] tokens, and ``L + 1`` times d of all states.

    Args:
        student: ``memory``, ``det`` and ``hidden`` are read.
        teacher: likewise; no gradient reaches it.

    Raises:
        ValueError: they differ in [DET] tokens, levels of the decoder, channels, or the order of maps.
    """
    check_tokens(student, teacher)
    maps = [
        _distance(own.permute(0, 2, 3, 1), other.permute(0, 2, 3, 1))
        for own, other in zip(student.memory, teacher.memory, strict=True)
    ]
    states = len(student.hidden) * _distance(student.hidden, teacher.hidden)
    return (sum(maps) + _distance(student.det, teacher.det) + states).clamp(min=LEAST).sqrt()


def check_tokens(student: ViDTTokens, teacher: ViDTTokens) -> None:
    """Check that each token of the student has one of the teacher.

    Raises:
        ValueError: what differs, and the setting of it.
    """
    shapes = [[tuple(one.shape[-2:]) for one in tokens.memory] for tokens in (student, teacher)]
    sides = [
        ("[DET] tokens", student.det.shape[1], teacher.det.shape[1], "num_det_tokens of the backbone"),
        ("levels of states (L + 1)", len(student.hidden), len(teacher.hidden), "num_layers of the decoder"),
        ("channels", student.det.shape[2], teacher.det.shape[2], "embed_dims"),
        ("maps in this order", *shapes, "the neck (EPFF gives the coarsest map first)"),
    ]
    wrong = [f"{what}: {own}, the teacher's {other} ({setting})" for what, own, other, setting in sides if own != other]
    if wrong:
        raise ValueError(f"the student's tokens have no match in the teacher: {'; '.join(wrong)}; they must be equal")


def _distance(own: Tensor, other: Tensor) -> Tensor:
    return torch.linalg.vector_norm(own.float() - other.detach().float(), dim=-1).mean()
