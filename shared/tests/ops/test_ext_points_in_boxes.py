"""Points in rotated boxes against a direct loop, and what belongs to a box."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrepro.ops.ext.points_in_boxes import (
    points_in_boxes_all_forward,
    points_in_boxes_cpu_forward,
    points_in_boxes_part_forward,
)


def inside(box: list[float], point: list[float]) -> bool:
    """Turn the point back by the box's angle and compare with half the sizes."""
    x, y, z, dx, dy, dz, angle = box
    turned = complex(point[0] - x, point[1] - y) * complex(math.cos(angle), -math.sin(angle))
    return z <= point[2] <= z + dz and abs(turned.real) < dx / 2 and abs(turned.imag) < dy / 2


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(0, 2), boxes=st.integers(0, 5), points=st.integers(0, 12))
def test_the_three_layouts_are_the_loop(seed, batch, boxes, points):
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.rand(batch, points, 3, generator=generator)
    box = torch.rand(batch, boxes, 7, generator=generator)
    box[..., 6] = box[..., 6] * 20 - 10
    expected = torch.zeros(batch, boxes, points, dtype=torch.int32)
    for b in range(batch):
        for t in range(boxes):
            for m in range(points):
                expected[b, t, m] = inside(box[b, t].tolist(), cloud[b, m].tolist())

    single = torch.full_like(expected, -7)
    for b in range(batch):
        points_in_boxes_cpu_forward(box[b], cloud[b], single[b])
    every = torch.zeros(batch, points, boxes, dtype=torch.int32)
    points_in_boxes_all_forward(box, cloud, every)
    first = torch.full((batch, points), -1, dtype=torch.int32)
    points_in_boxes_part_forward(box, cloud, first)

    assert torch.equal(single, expected)
    assert torch.equal(every, expected.transpose(1, 2))
    held = [[[t for t in range(boxes) if expected[b, t, m]] for m in range(points)] for b in range(batch)]
    assert first.tolist() == [[found[0] if found else -1 for found in row] for row in held]


@pytest.mark.parametrize(
    ("point", "belongs"),
    [
        ((0, 0, 0), True),  # the bottom, of which (x, y, z) is the centre
        ((0, 0, 2), True),
        ((0, 0, 2.001), False),
        ((0, 0, -0.001), False),
        ((1, 0, 1), False),  # a side
        ((0, -0.5, 1), False),
        ((0.999, 0.499, 1), True),
    ],
)
def test_bottom_and_top_belong_to_a_box_and_sides_do_not(point, belongs):
    box, result = torch.tensor([[0.0, 0, 0, 2, 1, 2, 0]]), torch.zeros(1, 1, dtype=torch.int32)
    points_in_boxes_cpu_forward(box, torch.tensor([point], dtype=torch.float32), result)

    assert bool(result) is belongs


def test_what_no_box_holds_keeps_its_entry():
    boxes, points = torch.tensor([[[0.0, 0, 0, 1, 1, 1, 0]]]), torch.tensor([[[9.0, 9, 9], [0, 0, 0.5]]])
    first, every = torch.full((1, 2), 5, dtype=torch.int32), torch.full((1, 2, 1), 5, dtype=torch.int32)
    points_in_boxes_part_forward(boxes, points, first)
    points_in_boxes_all_forward(boxes, points, every)

    assert first.tolist() == [[5, 0]]
    assert every.flatten().tolist() == [5, 1]
