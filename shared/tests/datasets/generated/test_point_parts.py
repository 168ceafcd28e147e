"""Generated objects of parts: labels, normals and ShapeNetPart's files."""

import json

import numpy as np
import pytest

from mmrepro.datasets.generated.point_parts import CATEGORIES, PARTS, part_cloud, shapenetpart_folder


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_same_object_every_time_and_others_by_seed(category):
    cloud = part_cloud(category, 200, seed=1)
    assert (cloud.shape, cloud.dtype) == ((200, 7), np.float32)
    np.testing.assert_array_equal(part_cloud(category, 200, seed=1), cloud)
    assert (part_cloud(category, 200, seed=2) != cloud).any()
    np.testing.assert_allclose(np.linalg.norm(cloud[:, 3:6], axis=1), 1, atol=1e-5)
    assert set(cloud[:, 6]) == set(PARTS[category])


def test_parts_are_where_their_labels_say():
    table, mug = (part_cloud(category, 400, seed=0) for category in ("Table", "Mug"))
    top, legs = (table[table[:, 6] == label] for label in PARTS["Table"])
    assert legs[:, 1].max() < top[:, 1].min() + 1e-3
    body, handle = (mug[mug[:, 6] == label] for label in PARTS["Mug"])
    assert np.hypot(*handle[:, [0, 2]].T).max() > np.hypot(*body[:, [0, 2]].T).max() * 1.3
    assert len(body) == 280


def test_shapenetparts_files():
    folder = shapenetpart_folder(train=3, val=1, test=2, points=16)
    lines = (folder / "synsetoffset2category.txt").read_text().splitlines()
    assert dict(line.split("\t") for line in lines) == CATEGORIES
    seen = []
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        listed = json.loads((folder / f"train_test_split/shuffled_{part}_file_list.json").read_text())
        assert len(listed) == count
        seen += listed
    assert len(set(seen)) == 6
    offset, name = seen[1].split("/")[1:]
    assert offset == CATEGORIES["Table"]
    np.testing.assert_allclose(np.loadtxt(folder / offset / f"{name}.txt"), part_cloud("Table", 16, 1), atol=1e-6)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="category='Lamp'"):
        part_cloud("Lamp")
    with pytest.raises(ValueError, match="points=7 at least 8"):
        part_cloud("Mug", 7)
    with pytest.raises(ValueError, match="count=0"):
        shapenetpart_folder(val=0)
