"""Generated point clouds: bodies that differ, in files as ModelNet40's and ScanObjectNN's."""

import numpy as np
import pytest

pytest.importorskip("h5py", reason="h5py is no dependency of the core")

import h5py

from mmrepro.datasets.generated.point_clouds import (
    KINDS,
    modelnet_folder,
    point_cloud,
    point_scan,
    scanobjectnn_folder,
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_cloud_every_time_and_others_by_seed(kind):
    cloud = point_cloud(kind, 200, seed=3)
    np.testing.assert_array_equal(point_cloud(kind, 200, seed=3), cloud)
    assert (point_cloud(kind, 200, seed=4) != cloud).any()
    assert (cloud.shape, cloud.dtype) == ((200, 3), np.float32)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-6)


def test_the_nearest_body_of_other_seeds_is_mostly_of_the_same_kind():
    def histogram(cloud):  # of radii and heights, which a turn leaves alone
        return np.histogram2d(np.hypot(cloud[:, 0], cloud[:, 2]), cloud[:, 1], 8, [[0, 1], [-1, 1]])[0].ravel()

    known = [(kind, histogram(point_cloud(kind, 512, seed))) for kind in KINDS for seed in range(8)]
    right = 0
    for kind in KINDS:
        for seed in range(8, 12):
            seen = histogram(point_cloud(kind, 512, seed))
            right += min(known, key=lambda one, seen=seen: np.abs(one[1] - seen).sum())[0] == kind
    assert right >= 20  # of 24; 4 by chance


def test_a_scan_has_one_side_and_a_ground_below():
    scan, mask = point_scan("ball", 1000, seed=1)
    assert scan.shape == (1000, 3)
    assert set(mask) == {0, -1}
    body, ground = scan[mask == 0], scan[mask == -1]
    assert len(ground) == 150
    assert ground[:, 1].mean() < body[:, 1].min() + 0.1
    assert np.ptp(body[:, 2]) < 0.7 * np.ptp(body[:, 0])  # half of the ball is hidden


def test_modelnets_files():
    folder = modelnet_folder(train=7, test=6, points=32)
    assert (folder / "shape_names.txt").read_text().split() == list(KINDS)
    for part, count in (("train", 7), ("test", 6)):
        listed = (folder / f"{part}_files.txt").read_text().split()
        assert [name.rpartition("/")[2] for name in listed] == [f"ply_data_{part}0.h5"]
        with h5py.File(folder / f"ply_data_{part}0.h5") as file:
            data, label = file["data"][:], file["label"][:]
        assert (data.shape, data.dtype) == ((count, 32, 3), np.float32)
        assert (label.shape, label.dtype) == ((count, 1), np.uint8)
        assert set(label.ravel()) == set(range(len(KINDS)))
    np.testing.assert_array_equal(data[1], point_cloud(KINDS[1], 32, seed=8))  # no cloud is in both parts
    assert modelnet_folder(train=7, test=6, points=32) == folder


def test_scanobjectnns_files():
    folder = scanobjectnn_folder(train=2, test=1, points=40)
    with h5py.File(folder / "main_split/training_objectdataset_augmentedrot_scale75.h5") as file:
        assert {name: part.shape for name, part in file.items()} == dict(data=(2, 40, 3), label=(2,), mask=(2, 40))
        assert file["label"][:].tolist() == [0, 1]
    with h5py.File(folder / "main_split/test_objectdataset_augmentedrot_scale75.h5") as file:
        np.testing.assert_array_equal(file["data"][0], point_scan(KINDS[0], 40, seed=2)[0])


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="kind='torus'"):
        point_cloud("torus")
    with pytest.raises(ValueError, match="points=0"):
        point_cloud("ball", 0)
    with pytest.raises(ValueError, match="count=0"):
        modelnet_folder(test=0)
