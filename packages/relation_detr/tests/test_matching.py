"""Matching all outputs at once: mmdet's result for each of them, in one transfer."""

from unittest import mock

import pytest
import torch
from mmdet.models.task_modules import HungarianAssigner
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor

from mm_relation_detr.models.matching import MATCH_COSTS, BatchedHungarianAssigner, Outputs

SHAPES = ((64, 80), (48, 96), (32, 32))
METAS = [dict(img_shape=shape) for shape in SHAPES]


def predictions(layers: int, queries: int, seed: int = 0, **options: object) -> Outputs:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(layers, 3, queries, 7, generator=random)
    return Outputs(logits, torch.rand(layers, 3, queries, 4, generator=random) * 0.4 + 0.2, **options)


def targets(counts: tuple[int, int, int] = (4, 0, 9)) -> list[InstanceData]:
    random = torch.Generator().manual_seed(1)
    found = []
    for count, (height, width) in zip(counts, SHAPES, strict=True):
        boxes = torch.rand(count, 4, generator=random) * 0.3 + 0.2
        corners = bbox_cxcywh_to_xyxy(boxes) * torch.tensor([width, height, width, height])
        found.append(InstanceData(bboxes=corners, labels=torch.randint(7, (count,), generator=random)))
    return found


def test_each_layer_is_matched_as_mmdet_matches_it():
    sets, wanted = [predictions(3, 20), predictions(1, 11, seed=5)], targets()
    theirs = HungarianAssigner([dict(cost) for cost in MATCH_COSTS])
    starts = [0, 4, 4]
    for one, pairs in zip(sets, BatchedHungarianAssigner().assign_batch(sets, wanted, METAS), strict=True):
        assert pairs.images.shape == (len(one.logits), 13)
        for layer in range(len(one.logits)):
            for image, meta in enumerate(METAS):
                height, width = meta["img_shape"]
                corners = bbox_cxcywh_to_xyxy(one.boxes[layer, image]) * torch.tensor([width, height, width, height])
                guess = InstanceData(scores=one.logits[layer, image], bboxes=corners)
                expected = theirs.assign(guess, wanted[image], meta).gt_inds
                here = pairs.images[layer] == image
                found = torch.zeros_like(expected)
                found[pairs.queries[layer][here]] = pairs.targets[layer][here] - starts[image] + 1
                assert found.tolist() == expected.tolist()
                assert pairs.queries[layer][here].tolist() == sorted(pairs.queries[layer][here].tolist())


def test_repeated_targets_are_copies_of_targets():
    wanted = targets()
    (pairs,) = BatchedHungarianAssigner().assign_batch([predictions(2, 60, repeat=6)], wanted, METAS)
    copies = [InstanceData.cat([one] * 6) for one in wanted]
    (expected,) = BatchedHungarianAssigner().assign_batch([predictions(2, 60)], copies, METAS)
    assert pairs.queries.tolist() == expected.queries.tolist()
    first = expected.targets < 24
    assert pairs.targets[first].tolist() == (expected.targets[first] % 4).tolist()
    assert pairs.targets[~first].tolist() == ((expected.targets[~first] - 24) % 9 + 4).tolist()
    for layer in range(2):
        assert torch.bincount(pairs.targets[layer]).tolist() == [6] * 13


def test_with_more_targets_than_queries_every_query_has_one():
    (pairs,) = BatchedHungarianAssigner().assign_batch([predictions(2, 5)], targets((4, 0, 9)), METAS)
    assert pairs.images.tolist() == [[0] * 4 + [2] * 5] * 2
    for layer in range(2):
        of_last = pairs.targets[layer][4:].tolist()
        assert len(set(of_last)) == 5
        assert set(of_last) <= set(range(4, 13))


def test_a_batch_without_targets_has_no_pairs():
    one = predictions(4, 5, repeat=6)
    (pairs,) = BatchedHungarianAssigner().assign_batch([one], targets((0, 0, 0)), METAS)
    assert [tuple(part.shape) for part in pairs] == [(4, 0)] * 3
    assert one.logits[torch.arange(4)[:, None], pairs.images, pairs.queries].shape == (4, 0, 7)


def test_binary_targets_have_the_first_label():
    one, wanted = predictions(1, 20), targets()
    zero = [InstanceData(bboxes=each.bboxes, labels=torch.zeros_like(each.labels)) for each in wanted]
    assigner = BatchedHungarianAssigner()
    (pairs,) = assigner.assign_batch([one._replace(binary=True)], wanted, METAS)
    (expected,) = assigner.assign_batch([one], zero, METAS)
    (other,) = assigner.assign_batch([one], wanted, METAS)
    assert pairs.queries.tolist() == expected.queries.tolist() != other.queries.tolist()


def test_costs_cross_to_the_cpu_once():
    crossings = []
    with mock.patch.object(Tensor, "cpu", lambda tensor: crossings.append(tensor.numel()) or tensor):
        BatchedHungarianAssigner().assign_batch([predictions(3, 20), predictions(3, 30, repeat=6)], targets(), METAS)
    assert crossings == [3 * (20 + 30) * 13]  # a repeated target crosses once as well


def test_the_logarithm_has_the_official_epsilon():
    certain = predictions(1, 20)._replace(logits=torch.full((1, 3, 20, 7), -60.0))
    wanted, assigner = targets(), BatchedHungarianAssigner()
    others = BatchedHungarianAssigner(MATCH_COSTS[1:]).cost(certain, wanted[0], METAS[0], 0)
    of_classes = assigner.cost(certain, wanted[0], METAS[0], 0) - others
    torch.testing.assert_close(of_classes, torch.full_like(of_classes, -0.5 * torch.tensor(1e-6).log().item()))


@pytest.mark.parametrize("part", ["logits", "boxes"])
def test_predictions_that_are_not_finite_are_named(part):
    one = predictions(2, 20)
    getattr(one, part)[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"image 2 of the batch cannot be matched: .* not finite; .* clip gradients"):
        BatchedHungarianAssigner().assign_batch([one], targets(), METAS)
