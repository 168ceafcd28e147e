"""Choosing, grouping and interpolating points."""

import pytest
import torch

from mm_meta_transformer.models.point_layers import global_features, point_layer, pooled_groups
from mm_meta_transformer.models.point_ops import farthest_points, interpolate, nearest_points, rows_of

LINE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0], [10, 0, 0]]])


def test_the_first_point_comes_first_and_then_the_farthest_from_all_chosen():
    assert farthest_points(LINE, 4).tolist() == [[0, 4, 2, 1]]


def test_sums_by_planes_choose_what_sums_by_points_do():
    points = 100 + torch.randn(3, 200, 3)
    chosen, nearest = [torch.zeros(3, dtype=torch.int64)], torch.full((3, 200), 1e10)
    while len(chosen) < 60:
        latest = points[torch.arange(3), chosen[-1]]
        nearest = torch.minimum(nearest, (points - latest[:, None]).square().sum(-1))
        chosen.append(nearest.argmax(-1))
    assert torch.equal(farthest_points(points, 60), torch.stack(chosen, 1))


def test_more_points_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match=r"6 points cannot be chosen of clouds of 5.*at least 6 points"):
        farthest_points(LINE, 6)


def test_neighbours_are_found_in_parts_as_at_once(monkeypatch):
    points = torch.randn(2, 40, 3)
    distance, index = nearest_points(points, points, 5)
    monkeypatch.setattr("mm_meta_transformer.models.point_ops._DISTANCES_AT_ONCE", 200)
    parts = nearest_points(points, points, 5)
    assert torch.equal(parts[0], distance)
    assert torch.equal(parts[1], index)
    assert torch.equal(index[:, :, 0], torch.arange(40).expand(2, -1))  # a point is its own nearest
    torch.testing.assert_close(distance, (rows_of(points, index) - points[:, :, None]).norm(dim=-1))


@pytest.mark.parametrize("count", [3, 60])
def test_trees_find_what_all_distances_do(monkeypatch, count):
    points, centres = 50 + torch.randn(2, 60, 3), 50 + torch.randn(2, 7, 3)
    distance, index = nearest_points(points, centres, count)
    monkeypatch.setattr("mm_meta_transformer.models.point_ops._WORTH_A_TREE", 1)
    by_trees = nearest_points(points, centres, count)
    assert torch.equal(by_trees[1], index)
    torch.testing.assert_close(by_trees[0], distance, rtol=1e-6, atol=0)


def test_rows_are_those_of_each_sample():
    values, index = torch.randn(2, 5, 4, requires_grad=True), torch.randint(5, (2, 3, 6))
    taken = rows_of(values, index)
    assert torch.equal(taken, torch.stack([one[rows] for one, rows in zip(values, index, strict=True)]))
    taken.sum().backward()
    assert values.grad.sum() == taken.numel()


def test_near_points_far_from_the_origin_are_told_apart():
    close = torch.tensor([[[1000.0, 0, 0], [1000.001, 0, 0], [1000.002, 0, 0]] + [[0.0, 0, 0]] * 30])
    assert nearest_points(close, close[:, :1], 3)[1].tolist() == [[[0, 1, 2]]]


def test_a_group_larger_than_the_cloud_is_refused():
    with pytest.raises(ValueError, match=r"clouds of 5 points have no groups of 6"):
        nearest_points(LINE, LINE, 6)


def test_features_are_interpolated_by_inverse_distances():
    known = torch.tensor([[[4.0], [8.0], [100.0]]])
    places = LINE[:, [0, 2, 4]]
    at_known = interpolate(places, places, known)
    torch.testing.assert_close(at_known, known, rtol=1e-5, atol=1e-4)
    weights = torch.tensor([1.0, 1.0, 1 / 9])
    torch.testing.assert_close(
        interpolate(LINE[:, 1:2], places, known)[0, 0, 0], (weights * known[0, :, 0]).sum() / weights.sum()
    )


def test_fewer_than_three_known_points_are_enough():
    assert interpolate(LINE, LINE[:, :1], torch.full((1, 1, 2), 5.0)).tolist() == [[[5.0, 5.0]] * 5]


@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_groups_are_pooled_as_if_the_maximum_were_appended_to_every_point(norm):
    first = torch.nn.Sequential(point_layer(3, 8, norm), point_layer(8, 8, None, act=False))
    second = torch.nn.Sequential(point_layer(16, 16, norm), point_layer(16, 12, norm))
    groups = torch.randn(2, 3, 5, 4)
    features = first(groups)
    joined = torch.cat((features.amax(-1, keepdim=True).expand_as(features), features), 1)
    expected = second(joined).amax(-1)
    for layer in (*first.modules(), *second.modules()):
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
    found = pooled_groups(groups.permute(0, 2, 3, 1), first, second)
    torch.testing.assert_close(found.transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_summaries_come_in_the_order_asked_for():
    features, token = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[7.0]])
    assert global_features(features, ("avg", "cls", "max"), token).tolist() == [[2, 7, 3]]


def test_an_unknown_summary_or_norm_is_named():
    with pytest.raises(ValueError, match="'min' is not known"):
        global_features(torch.ones(1, 1, 1), ("min",))
    with pytest.raises(ValueError, match="norm='gn' is not known"):
        point_layer(1, 1, "gn")
