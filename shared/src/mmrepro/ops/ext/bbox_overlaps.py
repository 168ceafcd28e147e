"""Overlaps of axis-aligned boxes."""

from __future__ import annotations

import torch
from torch import Tensor

INTERSECTION_OVER_UNION, INTERSECTION_OVER_FOREGROUND = range(2)


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write the overlaps of ``bboxes1`` ``(M, 4)`` with ``bboxes2`` ``(N, 4)`` into ``ious``.

    ``ious`` is ``(M, N)``, or ``(M,)`` where ``aligned`` pairs the boxes by index. The intersection is divided by the
    union (``mode`` 0) or by the area of the box of ``bboxes1`` (1); widths and heights are ``x2 - x1 + offset``. Zero
    by zero is NaN. A ``ValueError`` names an unknown mode.
    """
    if mode not in (INTERSECTION_OVER_UNION, INTERSECTION_OVER_FOREGROUND):
        raise ValueError(f"mode is 0 (over the union) or 1 (over the foreground), not {mode}")
    # areas of pixels overflow float16
    dtype = torch.promote_types(torch.promote_types(bboxes1.dtype, bboxes2.dtype), torch.float32)
    first, second = bboxes1.to(dtype), bboxes2.to(dtype)
    if not aligned:
        first = first[:, None]  # (M, 1, 4)
    corner = torch.maximum(first[..., :2], second[..., :2])
    width, height = (torch.minimum(first[..., 2:], second[..., 2:]) - corner + offset).clamp(min=0).unbind(-1)
    intersection = width * height
    area = _area(first, offset)
    if mode == INTERSECTION_OVER_UNION:
        area = area + _area(second, offset) - intersection
    ious.copy_(intersection / area)


def _area(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0] + offset) * (boxes[..., 3] - boxes[..., 1] + offset)
