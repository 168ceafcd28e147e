"""Which of the points lie in which of the upright, rotated boxes.

A box is ``(x, y, z, dx, dy, dz, rz)``: the centre of its bottom, its sizes and the angle about the vertical axis, in
radians. Bottom and top belong to a box, its four sides do not.
"""

from __future__ import annotations

import torch
from torch import Tensor


def points_in_boxes_cpu_forward(boxes_tensor: Tensor, pts_tensor: Tensor, pts_indices_tensor: Tensor) -> None:
    """Write 1 into the last tensor ``(T, M)`` where a box ``(T, 7)`` holds a point ``(M, 3)``, and 0 elsewhere."""
    pts_indices_tensor.copy_(_inside(boxes_tensor, pts_tensor))


def points_in_boxes_part_forward(boxes_tensor: Tensor, pts_tensor: Tensor, box_idx_of_points_tensor: Tensor) -> None:
    """Write the index of the first box ``(B, T, 7)`` that holds a point ``(B, M, 3)`` into the last tensor ``(B, M)``.

    Points outside of all boxes keep what the tensor has.
    """
    inside = _inside(boxes_tensor, pts_tensor)  # (B, T, M)
    boxes = inside.shape[1]
    if boxes == 0:
        return
    index = torch.arange(boxes, dtype=torch.int32, device=inside.device)[:, None]
    first = torch.where(inside, index, boxes).amin(dim=1)
    box_idx_of_points_tensor.copy_(torch.where(first < boxes, first, box_idx_of_points_tensor))


def points_in_boxes_all_forward(boxes_tensor: Tensor, pts_tensor: Tensor, box_idx_of_points_tensor: Tensor) -> None:
    """Write 1 into the last tensor ``(B, M, T)`` where a box ``(B, T, 7)`` holds a point ``(B, M, 3)``.

    Other entries keep what the tensor has.
    """
    box_idx_of_points_tensor.masked_fill_(_inside(boxes_tensor, pts_tensor).transpose(1, 2), 1)


def _inside(boxes: Tensor, points: Tensor) -> Tensor:
    """Return whether each box ``(..., T, 7)`` holds each point ``(..., M, 3)``, as ``(..., T, M)``."""
    dtype = torch.promote_types(torch.promote_types(boxes.dtype, points.dtype), torch.float32)
    x, y, z, dx, dy, dz, angle = boxes.to(dtype).unsqueeze(-1).unbind(-2)  # each (..., T, 1)
    px, py, pz = points.to(dtype).unsqueeze(-3).unbind(-1)  # each (..., 1, M)
    cosine, sine = angle.cos(), angle.sin()
    along = (px - x) * cosine + (py - y) * sine
    across = (py - y) * cosine - (px - x) * sine
    return ((pz - (z + dz / 2)).abs() <= dz / 2) & (along.abs() < dx / 2) & (across.abs() < dy / 2)
