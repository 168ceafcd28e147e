"""The overlap of predicted boxes with their targets, and the loss of the branch that estimates it.

IoU-aware loss of ViDT+ (arXiv 2204.07962; naver-ai/vidt @ a8c48b5, ``loss_iouaware``).
"""

from __future__ import annotations

from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor
from torch.nn import functional as F


def aligned_overlaps(boxes: Tensor, targets: Tensor, mode: str) -> Tensor:
    """Return the overlap of each box with the target of the same place.

    Args:
        boxes: ``(x1, y1, x2, y2)`` in pixels, ``(..., 4)``.
        targets: of the same shape.
        mode: ``iou`` or ``giou``.

    Returns:
        ``(...)``; without boxes it is empty and still leads to them, where mmdet's leads nowhere.
    """
    if not boxes.numel():
        return boxes.sum(-1)
    found = bbox_overlaps(boxes.flatten(0, -2), targets.flatten(0, -2), mode=mode, is_aligned=True)
    return found.view(boxes.shape[:-1])


def iou_aware_loss(logits: Tensor, overlaps: Tensor) -> Tensor:
    """Return the binary cross entropy between estimated and actual overlaps, for each box.

    The actual overlap is not detached: officially its gradient, minus the logit, moves the boxes.

    Args:
        logits: of the estimates, ``(...)``.
        overlaps: of the same boxes with their targets, in [0, 1], ``(...)``.
    """
    return F.binary_cross_entropy_with_logits(logits, overlaps, reduction="none")
