"""Targets and loss of the depth map, against boxes painted one by one."""

import pytest
import torch
from torch.nn import functional as F

from mm_monodino_detr.models.depth_bins import depth_bin_targets
from mm_monodino_detr.models.depth_map_loss import depth_map_loss, depth_map_targets, painted_cells

CORNERS = torch.tensor(
    [
        [0.10, 0.20, 0.50, 0.60],
        [0.30, 0.30, 0.90, 0.80],
        [-0.30, 0.10, 0.40, 0.50],  # as a slice it starts near the right side, after its end
        [-0.30, -0.70, 0.95, 0.90],  # a strip at the far side of both axes
        [0.80, 0.70, 1.40, 1.30],
        [-0.40, 0.10, -0.05, 0.50],  # both bounds are negative, the end is at 0
        [0.55, 0.10, 0.60, 0.15],
    ]
)
DEPTHS = torch.tensor([30.0, 12.0, 9.0, 45.0, 20.0, 7.0, 66.0])


def painted_one_by_one(corners: torch.Tensor, height: int, width: int) -> torch.Tensor:
    cells = torch.zeros(len(corners), height, width, dtype=torch.bool)
    scaled = corners * torch.tensor([width, height, width, height])
    for one, (x1, y1, x2, y2) in zip(cells, scaled, strict=True):
        one[int(y1.floor()) : int(y2.ceil()), int(x1.floor()) : int(x2.ceil())] = True
    return cells


@pytest.mark.parametrize("size", [(37, 37), (12, 37), (5, 3)])
def test_cells_are_those_of_slices(size):
    cells = painted_cells(CORNERS, *size)
    assert torch.equal(cells, painted_one_by_one(CORNERS, *size))
    assert not cells[2].any()
    assert cells[3].any()
    assert not cells[3, 0, 0]


@pytest.mark.parametrize("reach", [(80, 60.0), (160, 120.0)])
def test_the_nearest_object_of_a_cell_gives_its_bin(reach):
    bins, farthest = reach
    images = torch.tensor([0, 0, 0, 0, 2, 2, 2])
    found, covered = depth_map_targets(CORNERS, DEPTHS, images, (3, 9, 11), bins, 1e-3, farthest)
    depths = torch.zeros(3, 9, 11)
    for place in DEPTHS.argsort(descending=True).tolist():
        depths[images[place]][painted_one_by_one(CORNERS[place : place + 1], 9, 11)[0]] = DEPTHS[place]
    assert torch.equal(found, depth_bin_targets(depths, bins, 1e-3, farthest))
    assert torch.equal(covered, depths > 0)
    assert not covered[1].any()
    beyond = found[2][depths[2] == 66]
    assert beyond.numel()
    assert ((beyond == bins) == (farthest < 66)).all()


def test_without_objects_all_is_background():
    found, covered = depth_map_targets(CORNERS[:0], DEPTHS[:0], torch.zeros(0).long(), (2, 4, 5), 80, 1e-3, 60.0)
    assert (found == 80).all()
    assert not covered.any()


def test_the_loss_is_the_smoothed_focal_one_with_heavy_objects():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 81, 4, 5, generator=random, dtype=torch.float64)
    targets = torch.randint(81, (2, 4, 5), generator=random)
    covered = torch.rand(2, 4, 5, generator=random) < 0.4
    chances = logits.softmax(1)
    wanted = F.one_hot(targets, 81).permute(0, 3, 1, 2).double() + 1e-6
    each = (wanted * -0.25 * (1 - chances) ** 2 * chances.log()).sum(1)
    expected = (each * torch.where(covered, 13.0, 1.0)).sum() / 40
    torch.testing.assert_close(depth_map_loss(logits, targets, covered), expected, rtol=1e-12, atol=0)
