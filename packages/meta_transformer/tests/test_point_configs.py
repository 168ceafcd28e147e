"""Pipelines of the published point clouds: in which order what happens to a cloud."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import Compose

from mmrepro.testing import load_config

CONFIGS = Path(__file__).parents[1] / "configs/_base_/datasets"


def pipeline(name, kind, **changes):
    """Return the steps of a config, those of a type with other arguments."""
    steps = load_config(CONFIGS / f"{name}.py")[f"{kind}_pipeline"]
    return Compose([dict(step, **changes.get(step["type"], {})) for step in steps])


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)  # noqa: NPY002  what the engine does


def room(count=400):
    points = np.random.default_rng(0).random((count, 3)).astype(np.float32) * np.float32([4, 5, 3])
    return dict(points=points, colours=np.full((count, 3), 51, np.float32), gt_points=np.zeros(count, int), path="a")


def test_scannets_colours_are_scaled_by_its_own_statistics():
    for kind in ("val", "test"):
        features = pipeline("scannet", kind)(room())["inputs"]["features"].flatten(0, -2)
        expected = (0.2 - np.array([0.46259782, 0.46253258, 0.46253258])) / [0.693565, 0.6852543, 0.68061745]
        np.testing.assert_allclose(features[0, 3:6], expected, rtol=1e-5)
    steps = load_config(CONFIGS / "scannet.py").train_pipeline
    assert [step.mean[0] for step in steps if step.type == "NormaliseColours"] == [0.46259782]


def test_a_room_of_scannet_is_turned_before_its_corner_is_at_zero():
    inputs = pipeline("scannet", "train", SampleVoxels=dict(voxel_size=0.1, max_points=300))(room())["inputs"]
    assert inputs["points"].amin(0).tolist() == [0, 0, 0]
    assert inputs["features"][:, 6].amin() == 0


def test_heights_of_s3dis_are_those_of_the_scanned_room():
    given = room()
    found = pipeline("s3dis", "train", SampleVoxels=dict(max_points=400), RandomScalePoints=dict(scale=(3, 3)))(given)
    height = given["points"][:, 2].max() - given["points"][:, 2].min()
    assert found["inputs"]["features"][:, 6].max().item() == pytest.approx(height)


def test_each_epoch_of_scanobjectnn_sees_other_points():
    steps = pipeline("scanobjectnn", "train", RandomScalePoints=dict(scale=(1, 1)), RandomRotatePoints=dict(largest=0))
    points = room(2048)["points"]
    seen = set()
    for _ in range(2):
        found = steps(dict(points=points, gt_label=0))["inputs"].numpy()
        assert found.shape == (1024, 3)
        seen |= {tuple(point) for point in found.round(4).tolist()}
    assert len(seen) > 1200


def test_all_points_of_scanobjectnn_are_centred():
    points = room(2048)["points"]
    found = pipeline("scanobjectnn", "test")(dict(points=points, gt_label=0))["inputs"]
    np.testing.assert_allclose(found[0], points[0] - points.mean(0), atol=1e-5)


def test_a_point_of_shapenetpart_that_is_repeated_counts_once():
    steps = pipeline("shapenetpart", "test", SamplePoints=dict(count=96))
    for count, once in ((64, 64), (128, 96)):
        sample = steps(room(count) | dict(category=np.int64(3)))["data_samples"]
        assert (len(sample.point_mask), int(sample.point_mask.sum())) == (96, once)
