"""Generated rooms: points that are where their labels say, in S3DIS's and ScanNet's files."""

import numpy as np
import pytest
import torch

from mmrepro.datasets.generated.point_rooms import AREAS, CLASSES, TEST_AREA, point_room, s3dis_folder, scannet_folder


def test_the_same_room_every_time_and_others_by_seed():
    room = point_room(300, seed=2)
    assert (room.shape, room.dtype) == ((300, 7), np.float32)
    np.testing.assert_array_equal(point_room(300, seed=2), room)
    assert (point_room(300, seed=3) != room).any()


def test_points_are_where_their_labels_say():
    room = point_room(20000, seed=0)
    places, colours, labels = room[:, :3], room[:, 3:6], room[:, 6].astype(int)
    heights = {name: places[labels == CLASSES.index(name), 2] for name in CLASSES}
    assert {name for name in CLASSES if not len(heights[name])} == {"beam"}
    assert np.abs(heights["floor"]).max() < 0.05 < 2.5 < heights["ceiling"].min()
    assert 0.65 < heights["table"].min() < heights["table"].max() < 0.8
    assert heights["chair"].max() < 1.0
    assert 0 <= colours.min() < colours.max() <= 255
    assert np.abs(colours[labels == CLASSES.index("floor")].mean(0) - [120, 95, 70]).max() < 20


def test_s3diss_files():
    folder = s3dis_folder(rooms=AREAS + 1, points=50)
    names = sorted(path.name for path in (folder / "raw").iterdir())
    assert names == sorted([f"Area_{area}_office_1.npy" for area in range(1, 7)] + ["Area_1_office_2.npy"])
    room = np.load(folder / "raw" / f"Area_{TEST_AREA}_office_1.npy")
    np.testing.assert_array_equal(room, point_room(50, seed=TEST_AREA - 1))


def test_scannets_files(monkeypatch):
    written = {}  # what other packages' tests install refuses to load arrays from a .pth file
    monkeypatch.setattr(torch, "save", lambda room, path: written.update({path.relative_to(path.parents[1]): room}))
    scannet_folder.__wrapped__(rooms=4, points=300)
    names = [f"train/scene000{number}_00.pth" for number in range(3)] + ["val/scene0003_00.pth"]
    assert [path.as_posix() for path in written] == names
    room = point_room(300, seed=3)
    places, colours, labels = list(written.values())[3]
    np.testing.assert_array_equal(places, room[:, :3])
    assert np.abs(colours).max() <= 1
    assert set(labels[room[:, 6] == CLASSES.index("floor")]) == {1}
    assert set(labels[room[:, 6] == CLASSES.index("ceiling")]) == {-100}


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="rooms=3 must be at least 4"):
        scannet_folder(rooms=3)
    with pytest.raises(ValueError, match="rooms=5 must be at least 6"):
        s3dis_folder(rooms=5)
    with pytest.raises(ValueError, match="points=0"):
        point_room(0)
