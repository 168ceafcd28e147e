"""Matching all layers, images and groups at once; the official matchings are parity cases."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mm_monodino_detr.models.group_matching import GroupHungarian3DAssigner, collect_targets, focal_cost
from mmrepro.testing import SplitAdapter

_SAMPLES = SplitAdapter(Path(__file__).resolve().parent, {}).part("mono3d_samples")
random_objects, random_predictions = _SAMPLES.random_objects, _SAMPLES.random_predictions


def plain_cost(logits: np.ndarray, boxes: np.ndarray, label: int, wanted: np.ndarray) -> float:
    """Return what it costs to give one query one object."""
    chance = 1 / (1 + np.exp(-logits[label]))
    cls = 0.25 * (1 - chance) ** 2 * -np.log(chance + 1e-8) - 0.75 * chance**2 * -np.log(1 - chance + 1e-8)
    (ax, ay, al, ar, at, ab), (bx, by, bl, br, bt, bb) = boxes, wanted
    first, second = (ax - al, ay - at, ax + ar, ay + ab), (bx - bl, by - bt, bx + br, by + bb)
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    union = (al + ar) * (at + ab) + (bl + br) * (bt + bb) - shared
    hull = (max(first[2], second[2]) - min(first[0], second[0])) * (max(first[3], second[3]) - min(first[1], second[1]))
    giou = shared / union - (hull - union) / hull
    apart = np.abs(boxes - wanted)
    return 2 * cls + 5 * apart[2:].sum() + 10 * apart[:2].sum() - 2 * giou


def test_each_group_is_matched_alone_by_the_least_cost():
    predictions, objects = random_predictions(), random_objects()
    pairs = GroupHungarian3DAssigner().match(predictions, collect_targets(objects), 3)
    expected = []
    for layer in range(2):
        start = 0
        for image, one in enumerate(objects):
            for group in range(3):
                places = range(4 * group, 4 * group + 4)
                logits = predictions.logits[layer, image].detach().double().numpy()
                boxes = predictions.boxes[layer, image].detach().double().numpy()
                cost = [
                    [
                        plain_cost(logits[query], boxes[query], label, wanted)
                        for label, wanted in zip(one.labels.tolist(), one.boxes_3d.double().numpy(), strict=True)
                    ]
                    for query in places
                ]
                rows, columns = linear_sum_assignment(np.reshape(cost, (4, len(one))))
                expected += [
                    (layer, image, 4 * group + row, start + column)
                    for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
                ]
            start += len(one)
    found = [
        (layer, *triple) for layer in range(2) for triple in zip(*(part[layer].tolist() for part in pairs), strict=True)
    ]
    assert found == expected
    assert len(found) == 2 * 3 * 5


def test_all_queries_may_be_one_group():
    pairs = GroupHungarian3DAssigner().match(random_predictions(), collect_targets(random_objects()), 1)
    assert pairs.images.tolist() == [[0, 0, 2, 2, 2]] * 2


def test_the_place_of_pairs_is_theirs_in_predictions():
    predictions = random_predictions()
    pairs = GroupHungarian3DAssigner().match(predictions, collect_targets(random_objects()), 3)
    picked = predictions.boxes[pairs.place]
    assert picked.shape == (2, 15, 6)
    assert torch.equal(picked[1, 7], predictions.boxes[1, pairs.images[1, 7], pairs.queries[1, 7]])


def test_with_more_objects_than_queries_every_query_has_one():
    targets = collect_targets(random_objects((6, 1)))
    pairs = GroupHungarian3DAssigner().match(random_predictions(images=2), targets, 3)
    assert pairs.images.tolist() == [[0] * 12 + [1] * 3] * 2
    assert pairs.queries[0, :12].tolist() == list(range(12))


def test_a_batch_without_objects_has_no_pairs():
    predictions = random_predictions()
    pairs = GroupHungarian3DAssigner().match(predictions, collect_targets(random_objects((0, 0, 0))), 3)
    assert [tuple(part.shape) for part in pairs] == [(2, 0)] * 3
    assert predictions.dims[pairs.place].shape == (2, 0, 3)


def test_costs_cross_to_the_cpu_once():
    targets, crossings = collect_targets(random_objects()), []
    with mock.patch.object(Tensor, "cpu", lambda tensor: crossings.append(tensor.numel()) or tensor):
        GroupHungarian3DAssigner().match(random_predictions(), targets, 3)
    assert crossings == [2 * 12 * 5]


def test_the_logarithm_has_the_official_epsilon():
    cost = focal_cost(torch.full((5, 4), -60.0), torch.tensor([1]))
    torch.testing.assert_close(cost, torch.full((5, 1), -0.25 * torch.tensor(1e-8).log().item()))


def test_tiny_boxes_have_their_overlap():
    """mmdet's floor of areas is half a pixel in parts of a picture."""
    assigner = GroupHungarian3DAssigner(cls_weight=0, bbox_weight=0, center_weight=0)
    tiny = torch.tensor([[0.5, 0.5, 1e-4, 1e-4, 1e-4, 1e-4]])
    (one,) = random_objects((1,))
    one.boxes_3d = tiny
    cost = assigner.cost(torch.zeros(1, 1, 4), tiny[None], collect_targets([one]), 0)
    torch.testing.assert_close(cost, torch.full((1, 1, 1), -2.0))


@pytest.mark.parametrize("part", ["logits", "boxes"])
def test_predictions_that_are_not_finite_are_named(part):
    predictions = random_predictions()
    with torch.no_grad():
        getattr(predictions, part)[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"image 2 of the batch cannot be matched: .* not finite; .* clip gradients"):
        GroupHungarian3DAssigner().match(predictions, collect_targets(random_objects()), 3)


def test_queries_that_are_no_whole_groups_are_refused():
    with pytest.raises(ValueError, match="12 queries are no 5 equal groups; set group_num"):
        GroupHungarian3DAssigner().match(random_predictions(), collect_targets(random_objects()), 5)


def test_missing_fields_are_named_with_the_pipeline():
    with pytest.raises(ValueError, match=r"have no boxes_3d, depth, .*heading_res; .* PackMono3DInputs"):
        collect_targets([InstanceData(labels=torch.zeros(1), boxes=torch.zeros(1, 4))])


def test_targets_know_their_images_and_corners():
    targets = collect_targets(random_objects())
    assert targets.images.tolist() == [0, 0, 2, 2, 2]
    torch.testing.assert_close(targets.corners[:, 2:] - targets.corners[:, :2], targets.boxes[:, 2:])
