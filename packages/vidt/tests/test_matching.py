"""Matching all levels at once: mmdet's result for each of them, in one transfer."""

from unittest import mock

import pytest
import torch
from mmdet.models.task_modules import HungarianAssigner
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor

from mm_vidt.models.matching import MATCH_COSTS, LevelsHungarianAssigner, Targets, collect_targets
from mm_vidt.models.neck_free_criterion import NECK_FREE_COSTS

SHAPES = ((64, 80), (48, 96), (32, 32))


def predictions(levels: int, queries: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(levels, 3, queries, 7, generator=random)
    return logits, torch.rand(levels, 3, queries, 4, generator=random) * 0.4 + 0.2


def instances(counts: tuple[int, int, int] = (4, 0, 9)) -> list[InstanceData]:
    random = torch.Generator().manual_seed(1)
    found = []
    for count, (height, width) in zip(counts, SHAPES, strict=True):
        boxes = torch.rand(count, 4, generator=random) * 0.3 + 0.2
        corners = bbox_cxcywh_to_xyxy(boxes) * torch.tensor([width, height, width, height])
        found.append(InstanceData(bboxes=corners, labels=torch.randint(7, (count,), generator=random)))
    return found


def targets(counts: tuple[int, int, int] = (4, 0, 9)) -> Targets:
    return collect_targets(instances(counts), [dict(img_shape=shape) for shape in SHAPES])


def test_targets_are_those_of_all_images_in_parts_of_their_own():
    found = targets()
    assert found.counts == [4, 0, 9]
    assert found.shapes == list(SHAPES)
    assert found.sizes.tolist() == [[width, height, width, height] for height, width in SHAPES]
    sizes = found.sizes[torch.tensor([0] * 4 + [2] * 9)]
    torch.testing.assert_close(bbox_cxcywh_to_xyxy(found.boxes) * sizes, found.corners)


@pytest.mark.parametrize("costs", [MATCH_COSTS, NECK_FREE_COSTS], ids=["neck", "neck-free"])
def test_each_level_is_matched_as_mmdet_matches_it(costs):
    (logits, boxes), wanted = predictions(3, 20), targets()
    theirs = HungarianAssigner([dict(cost) for cost in costs])
    pairs = LevelsHungarianAssigner(costs).match(logits, boxes, wanted)
    assert pairs.images.shape == (3, 13)
    for level in range(3):
        for image, (start, objects) in enumerate(zip([0, 4, 4], instances(), strict=True)):
            corners = bbox_cxcywh_to_xyxy(boxes[level, image]) * wanted.sizes[image]
            guess = InstanceData(scores=logits[level, image], bboxes=corners)
            expected = theirs.assign(guess, objects, dict(img_shape=SHAPES[image])).gt_inds
            here = pairs.images[level] == image
            found = torch.zeros_like(expected)
            found[pairs.queries[level][here]] = pairs.targets[level][here] - start + 1
            assert found.tolist() == expected.tolist()
            assert pairs.queries[level][here].tolist() == sorted(pairs.queries[level][here].tolist())


def test_the_place_of_pairs_is_theirs_in_predictions():
    logits, boxes = predictions(2, 20)
    pairs = LevelsHungarianAssigner().match(logits, boxes, targets())
    picked = boxes[pairs.place]
    assert picked.shape == (2, 13, 4)
    assert torch.equal(picked[1, 5], boxes[1, pairs.images[1, 5], pairs.queries[1, 5]])


def test_with_more_targets_than_queries_every_query_has_one():
    pairs = LevelsHungarianAssigner().match(*predictions(2, 5), targets())
    assert pairs.images.tolist() == [[0] * 4 + [2] * 5] * 2
    for level in range(2):
        of_last = pairs.targets[level][4:].tolist()
        assert len(set(of_last)) == 5
        assert set(of_last) <= set(range(4, 13))


def test_a_batch_without_targets_has_no_pairs():
    logits, boxes = predictions(4, 5)
    pairs = LevelsHungarianAssigner().match(logits, boxes, targets((0, 0, 0)))
    assert [tuple(part.shape) for part in pairs] == [(4, 0)] * 3
    assert logits[pairs.place].shape == (4, 0, 7)


def test_costs_cross_to_the_cpu_once():
    crossings = []
    with mock.patch.object(Tensor, "cpu", lambda tensor: crossings.append(tensor.numel()) or tensor):
        LevelsHungarianAssigner().match(*predictions(3, 20), targets())
    assert crossings == [3 * 20 * 13]


@pytest.mark.parametrize("costs", [MATCH_COSTS, NECK_FREE_COSTS], ids=["neck", "neck-free"])
def test_costs_are_told_sizes_as_numbers(costs):
    """mmdet makes a tensor of them: as scalars of a device each would be waited for."""
    assigner, told = LevelsHungarianAssigner(costs), []
    for place, cost in enumerate(assigner.match_costs):
        assigner.match_costs[place] = lambda *args, cost=cost: told.append(args[2]["img_shape"]) or cost(*args)
    assigner.match(*predictions(3, 20), targets())
    assert told == [shape for shape in SHAPES for _ in costs]
    assert {type(length) for shape in told for length in shape} == {int}


def test_the_logarithm_has_the_official_epsilon():
    logits, boxes = torch.full((1, 20, 7), -60.0), predictions(1, 20)[1][:, 0]
    of_boxes = LevelsHungarianAssigner(MATCH_COSTS[1:]).cost(logits, boxes, targets(), 0)
    of_classes = LevelsHungarianAssigner().cost(logits, boxes, targets(), 0) - of_boxes
    torch.testing.assert_close(of_classes, torch.full_like(of_classes, -0.5 * torch.tensor(1e-8).log().item()))


@pytest.mark.parametrize("part", [0, 1], ids=["logits", "boxes"])
def test_predictions_that_are_not_finite_are_named(part):
    given = predictions(2, 20)
    given[part][1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"image 2 of the batch cannot be matched: .* not finite; .* clip gradients"):
        LevelsHungarianAssigner().match(*given, targets())
