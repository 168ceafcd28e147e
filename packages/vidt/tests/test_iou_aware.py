"""Overlaps of boxes with their targets, and the loss of their estimates."""

import torch
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou

from mm_vidt.models.iou_aware import aligned_overlaps, iou_aware_loss


def corners(count: int, seed: int) -> torch.Tensor:
    start, size = torch.rand(2, count, 2, generator=torch.Generator().manual_seed(seed)) * 50
    return torch.cat([start, start + size + 1], 1)


def test_overlaps_are_the_diagonal_of_all_pairs():
    boxes, targets = corners(12, 0), corners(12, 1)
    for mode, pairwise in (("iou", box_iou), ("giou", generalized_box_iou)):
        found = aligned_overlaps(boxes.view(3, 4, 4), targets.view(3, 4, 4), mode)
        torch.testing.assert_close(found, pairwise(boxes, targets).diag().view(3, 4))


def test_without_boxes_they_lead_to_the_boxes():
    boxes = torch.rand(2, 0, 4, requires_grad=True)
    found = aligned_overlaps(boxes, boxes.detach(), "iou")
    assert found.shape == (2, 0)
    found.sum().backward()
    assert boxes.grad.shape == boxes.shape


def test_the_overlap_is_not_detached():
    logits = torch.tensor([0.7, -1.2, 0.3], requires_grad=True)
    overlaps = torch.tensor([0.2, 0.9, 0.5], requires_grad=True)
    loss = iou_aware_loss(logits, overlaps)
    torch.testing.assert_close(loss, F.binary_cross_entropy(logits.sigmoid(), overlaps, reduction="none"))
    loss.sum().backward()
    torch.testing.assert_close(overlaps.grad, -logits.detach())
    torch.testing.assert_close(logits.grad, (logits.sigmoid() - overlaps).detach())
