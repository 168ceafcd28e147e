"""Steps of a point cloud's pipeline."""

import numpy as np
import pytest

from mm_meta_transformer.datasets.point_transforms import (
    CentrePoints,
    JitterPoints,
    NormaliseColours,
    PointFeatures,
    PointHeights,
    RandomColourContrast,
    RandomDropColours,
    RandomRotatePoints,
    RandomScalePoints,
    SamplePoints,
    SampleVoxels,
    VoxelParts,
)
from mmrepro.engine.errors import in_one_line


@pytest.fixture
def room():
    draw = np.random.default_rng(0)
    points = draw.random((200, 3)).astype(np.float32)
    return dict(points=points, colours=255 * points, gt_points=np.arange(200), path="room.npy")


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)  # noqa: NPY002  what the engine does


def test_the_same_points_are_taken_of_everything(room):
    for how in ("first", "random", "farthest", "with_replacement"):
        taken = SamplePoints(50, how, shuffle=True)(room)
        assert np.array_equal(taken["points"], room["points"][taken["gt_points"]])
        assert np.array_equal(taken["colours"], room["colours"][taken["gt_points"]])
        assert len(set(taken["gt_points"].tolist())) == 50 or how == "with_replacement"


def test_the_first_are_the_first_and_the_farthest_begin_with_the_first(room):
    assert np.array_equal(SamplePoints(50)(room)["gt_points"], np.arange(50))
    far = SamplePoints(8, "farthest")(room)["points"]
    near = SamplePoints(8)(room)["points"]
    assert np.array_equal(far[0], room["points"][0])
    assert _least_distance(far) > 2 * _least_distance(near)


def test_random_points_can_be_of_those_far_from_each_other(room):
    far = set(SamplePoints(60, "farthest")(room)["gt_points"].tolist())
    assert set(SamplePoints(50, "random", of=60)(room)["gt_points"].tolist()) < far


def test_too_few_points_are_an_error_that_names_the_file(room):
    with pytest.raises(ValueError, match=r"room.npy has 200 points, SamplePoints takes 256.*repeat=True"):
        SamplePoints(256)(room)
    with pytest.raises(ValueError, match="how='middle' is not known"):
        SamplePoints(256, "middle")


def test_or_points_are_repeated_counted_and_masked(room):
    filled = SamplePoints(256, repeat=True)(room)
    assert (len(filled["points"]), filled["repeated"], filled["point_mask"].sum()) == (256, 56, 200)
    assert np.array_equal(filled["gt_points"][:200], np.arange(200))
    whole = SamplePoints(64, "farthest", repeat=True)(room)  # a batch may have both
    assert (len(whole["point_mask"]), whole["repeated"], whole["point_mask"].all()) == (64, 0, True)


@pytest.mark.parametrize("how", ["first", "farthest"])
def test_what_is_not_random_is_filled_up_alike_in_every_run(room, how):
    first, second = (SamplePoints(256, how, repeat=True)(room)["gt_points"] for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first[200:], first[:56])
    first, second = (SamplePoints(256, "random", repeat=True)(room)["gt_points"] for _ in range(2))
    assert not np.array_equal(first, second)


def test_repeated_points_are_among_the_samples_repairs(room):
    room["repairs"] = ["2 frames repeated"]
    assert SamplePoints(256, repeat=True)(room)["repairs"] == ["2 frames repeated", "56 points taken twice"]
    assert room["repairs"] == ["2 frames repeated"]  # the data set's own
    for step in (SamplePoints(256, repeat=True), SampleVoxels(0.01, max_points=256, test=True)):
        assert step(dict(points=room["points"]))["repairs"] == ["56 points taken twice"]
    for step in (SamplePoints(64, repeat=True), SamplePoints(256, "with_replacement"), SampleVoxels(0.25)):
        assert "repairs" not in step(dict(points=room["points"]))


def test_clouds_that_cannot_be_used_are_said_in_one_line(room):
    alike = room | dict(points=np.ones((4, 3), np.float32))
    for step, given, words in (
        (SamplePoints(256), room, "room.npy has 200 points"),
        (CentrePoints(normalise=True), alike, "room.npy: all points are one"),
    ):
        with pytest.raises(SystemExit, match=f"error: {words}"), in_one_line():
            step(given)
    with pytest.raises(SystemExit, match="error: how='middle' is not known"), in_one_line():
        SamplePoints(256, "middle")


def test_one_point_of_each_voxel_is_taken_and_a_small_room_filled_up(room):
    sampled = SampleVoxels(0.25, max_points=100)(room)
    cells = np.floor((room["points"] - room["points"].min(0)) / 0.25).astype(int)
    kept = sampled["gt_points"][sampled["point_mask"] == 1]
    voxels = {tuple(cell) for cell in cells}
    assert {tuple(cells[at]) for at in kept} == voxels
    assert (len(kept), len(sampled["points"]), sampled["repeated"]) == (len(voxels), 100, 100 - len(voxels))
    assert np.array_equal(sampled["points"].min(0), [0, 0, 0])


def test_of_a_large_room_the_points_around_one_are_taken(room):
    sampled = SampleVoxels(0.01, max_points=50)(room)
    taken = room["points"][sampled["gt_points"]]
    left = np.delete(room["points"], sampled["gt_points"], axis=0)
    middles = [
        np.linalg.norm(taken - point, axis=1).max() < np.linalg.norm(left - point, axis=1).min() for point in taken
    ]
    assert any(middles)
    assert sampled["point_mask"].all()


def test_without_randomness_every_run_is_the_same(room):
    for step in (SampleVoxels(0.25, test=True), SampleVoxels(0.25, max_points=100, test=True)):
        first, second = (step(room)["gt_points"] for _ in range(2))
        assert np.array_equal(first, second)


def test_parts_have_every_point_and_a_point_of_each_voxel(room):
    parts = VoxelParts(0.25)(room)
    voxels = {tuple(cell) for cell in np.floor((room["points"] - room["points"].min(0)) / 0.25).astype(int)}
    assert parts["index"].shape[1] == len(voxels)
    assert np.array_equal(np.unique(parts["index"]), np.arange(200))
    assert np.array_equal(parts["gt_points"], room["gt_points"])
    assert parts["points"].shape == (*parts["index"].shape, 3)
    assert np.array_equal(parts["colours"], room["colours"][parts["index"]])


def test_parts_are_centred_one_by_one(room):
    parts = CentrePoints()(VoxelParts(0.25)(room))["points"]
    np.testing.assert_allclose(parts.mean(1), 0, atol=1e-6)
    heights = PointHeights(2)(dict(points=parts))["heights"]
    assert np.array_equal(heights.min(1), np.zeros((len(parts), 1)))


def test_a_cloud_of_one_point_cannot_be_normalised(room):
    with pytest.raises(ValueError, match=r"room.npy: all points are one. Fix: leave the cloud out"):
        CentrePoints(normalise=True)(room | dict(points=np.ones((4, 3), np.float32)))


def test_scaling_and_turning_keep_what_they_should(room):
    factors = RandomScalePoints((0.5, 2.0))(room)["points"] / room["points"]
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-5)
    assert len(set(factors[0].round(4).tolist())) == 3
    turned = RandomRotatePoints(axis=1)(room)["points"]
    np.testing.assert_allclose(turned[:, 1], room["points"][:, 1], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(room["points"], axis=1), rtol=1e-5)
    assert not np.allclose(turned, room["points"])
    moved = JitterPoints(0.01, 0.02)(room)["points"] - room["points"]
    assert 0.015 < np.abs(moved).max() <= 0.0201


def test_colours_are_stretched_dropped_and_normalised(room):
    dull = dict(room, colours=100 + room["colours"] / 10)
    stretched = RandomColourContrast(1.0)(dull)["colours"]
    assert np.ptp(stretched) > np.ptp(dull["colours"])
    assert RandomColourContrast(0.0)(dull) is dull
    assert not RandomDropColours(1.0)(room)["colours"].any()
    assert RandomDropColours(0.0)(room) is room
    normal = NormaliseColours(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))(dict(colours=np.float32([[0, 127.5, 255]])))
    assert normal["colours"].tolist() == [[-2, 0, 2]]


def test_features_are_put_side_by_side(room):
    features = PointFeatures(("colours", "points"))(room)["features"]
    assert np.array_equal(features, np.concatenate([room["colours"], room["points"]], 1))


def _least_distance(points):
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    return distances[~np.eye(len(points), dtype=bool)].min()
