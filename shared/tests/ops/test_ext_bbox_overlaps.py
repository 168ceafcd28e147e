"""Overlaps of boxes against torchvision and a direct loop."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrepro.ops.ext.bbox_overlaps import bbox_overlaps


def draw(generator: torch.Generator, count: int) -> torch.Tensor:
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 10
    return torch.cat((corner, corner + torch.rand(corner.shape, generator=generator, dtype=torch.float64) * 8), dim=1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 5),
    columns=st.integers(0, 5),
    mode=st.integers(0, 1),
    offset=st.integers(0, 1),
)
def test_overlaps_are_the_loop(seed, rows, columns, mode, offset):
    generator = torch.Generator().manual_seed(seed)
    first, second = draw(generator, rows), draw(generator, columns)
    expected = torch.zeros(rows, columns, dtype=torch.float64)
    for i, (ax1, ay1, ax2, ay2) in enumerate(first.tolist()):
        for j, (bx1, by1, bx2, by2) in enumerate(second.tolist()):
            width, height = min(ax2, bx2) - max(ax1, bx1) + offset, min(ay2, by2) - max(ay1, by1) + offset
            intersection = max(width, 0) * max(height, 0)
            own = (ax2 - ax1 + offset) * (ay2 - ay1 + offset)
            other = (bx2 - bx1 + offset) * (by2 - by1 + offset)
            expected[i, j] = intersection / (own if mode else own + other - intersection)

    ious = torch.full_like(expected, -7)
    bbox_overlaps(bboxes1=first, bboxes2=second, ious=ious, mode=mode, aligned=False, offset=offset)

    torch.testing.assert_close(ious, expected)
    if rows == columns:
        paired = torch.full((rows,), -7.0, dtype=torch.float64)
        bbox_overlaps(first, second, paired, mode, True, offset)
        torch.testing.assert_close(paired, expected.diagonal())


def test_without_offset_they_are_torchvisions():
    generator = torch.Generator().manual_seed(1)
    first, second = draw(generator, 20).float(), draw(generator, 30).float()
    ious = torch.zeros(20, 30)
    bbox_overlaps(first, second, ious, 0, False, 0)

    # the same few operations in float32
    torch.testing.assert_close(ious, torchvision.ops.box_iou(first, second), rtol=1e-6, atol=1e-7)


def test_float16_areas_do_not_overflow():
    box = torch.tensor([[0.0, 0.0, 600.0, 600.0]], dtype=torch.float16)
    ious = torch.zeros(1, 1, dtype=torch.float16)
    bbox_overlaps(box, box, ious, 0, False, 0)

    assert ious.item() == 1


def test_boxes_without_area_and_a_wrong_mode():
    point = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    ious = torch.zeros(1, 1)
    bbox_overlaps(point, point, ious, 0, False, 0)

    assert ious.isnan().all()
    with pytest.raises(ValueError, match="mode is 0"):
        bbox_overlaps(point, point, ious, 2, False, 0)
