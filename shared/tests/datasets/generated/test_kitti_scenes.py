"""Generated KITTI scenes: the labels, the calibration and the pictures say the same."""

import re

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.kitti_scenes import (
    CLASSES,
    DONT_CARE,
    EMPTY_EVERY,
    calibration,
    camera_of,
    corners,
    kitti_folder,
    kitti_scene,
    project,
)


@pytest.fixture(scope="module")
def folder():
    return kitti_folder(count=EMPTY_EVERY, size=(240, 72), objects=6)


def lines_of(path):
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


def labelled(folder):
    """Yield P2 and the fields of each labelled object, as a reader of the files sees them."""
    for path in sorted((folder / "training/label_2").iterdir()):
        calib = (folder / "training/calib" / path.name).read_text(encoding="utf-8").splitlines()
        key, _, numbers = calib[2].partition(":")
        assert key == "P2"
        p2 = np.array(numbers.split(), float).reshape(3, 4)
        for fields in lines_of(path):
            if fields[0] != DONT_CARE:
                yield p2, fields[0], np.array(fields[1:], float)


def test_the_same_scene_every_time_and_others_by_seed():
    scene, again, other = (kitti_scene((128, 40), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(again.picture, scene.picture)
    assert again.labels == scene.labels
    assert (other.picture != scene.picture).any()
    assert scene.picture.shape == (40, 128, 3)


def test_the_files_are_kittis(folder):
    pictures = sorted((folder / "training/image_2").iterdir())
    assert [path.name for path in pictures] == [f"{number:06d}.png" for number in range(EMPTY_EVERY)]
    with Image.open(pictures[0]) as picture:
        assert (picture.size, picture.mode) == ((240, 72), "RGB")
    splits = {path.stem: path.read_text(encoding="utf-8").split("\n") for path in (folder / "ImageSets").iterdir()}
    assert splits["train"] + splits["val"] == splits["trainval"] == [path.stem for path in pictures]
    assert len(splits["val"]) == 2
    assert (folder / "testing/image_2" / f"{splits['test'][0]}.png").is_file()
    assert not (folder / "testing/label_2").exists()
    for part in ("training", "testing"):
        keys = [line.partition(":")[0] for line in (folder / part / "calib/000000.txt").read_text().splitlines()]
        assert keys == ["P0", "P1", "P2", "P3", "R0_rect", "Tr_velo_to_cam", "Tr_imu_to_velo"]


def test_one_scene_is_empty_and_every_class_occurs(folder):
    counts = [len(lines_of(path)) for path in sorted((folder / "training/label_2").iterdir())]
    assert counts.count(0) == 1
    assert {kind for _, kind, _ in labelled(folder)} == set(CLASSES)


def test_boxes_are_those_of_the_projected_corners(folder):
    for p2, _, values in labelled(folder):
        box, size, location, rotation = values[3:7], values[7:10], values[10:13], values[13]
        points = project(p2, corners(size, location, rotation))
        whole = np.concatenate([points.min(0), points.max(0)])
        np.testing.assert_allclose(box, np.clip(whole, 0, [239, 71, 239, 71]), atol=0.011)
        area = np.prod(whole[2:] - whole[:2])
        assert values[0] == pytest.approx(1 - np.prod(box[2:] - box[:2]) / area, abs=0.011)
        angle = rotation - np.arctan2(*(location - camera_of(p2))[[0, 2]])
        assert np.cos(angle - values[2]) > 0.9999


def test_some_objects_are_cut_off_and_some_are_hidden(folder):
    values = np.stack([values for *_, values in labelled(folder)])
    assert (values[:, 0] == 0).any()
    assert (values[:, 0] > 0.05).any()
    levels = set(values[:, 1])
    assert {0, 1} <= levels <= {0, 1, 2}


def test_a_lone_car_is_seen_where_its_box_is():
    """What differs from the empty street is inside the box and reaches all of its sides."""
    for seed in range(20):
        scene = kitti_scene((240, 72), seed, objects=1, classes=("Car",))
        if scene.objects and scene.objects[0].truncated == 0:
            break
    (car,) = scene.objects
    assert car.visible == 1
    saturation = np.ptp(scene.picture.astype(int), axis=2)
    horizon = int(scene.p2[1, 2]) + 2  # below it the street is grey
    rows, columns = np.nonzero(saturation[horizon:] > 40)
    found = [columns.min(), columns.max(), rows.max() + horizon]
    np.testing.assert_allclose(found, [car.box[0], car.box[2], car.box[3]], atol=2.5)


def test_nearer_objects_hide_farther_ones():
    hidden = [one for seed in range(30) for one in _pair(seed) if one[0].visible < 0.9]
    assert hidden
    assert all(one.location[2] > min(other.location[2] for other in others) for one, others in hidden)


def _pair(seed):
    found = kitti_scene((120, 36), seed, objects=6).objects
    return [(one, [other for other in found if other is not one]) for one in found]


def test_another_focal_length_is_in_the_calibration():
    assert calibration((240, 72), focal=300)[0, 0] == 300
    scene = kitti_scene((240, 72), focal=300)
    np.testing.assert_array_equal(scene.p2, calibration((240, 72), 300))
    assert scene.p2[0, 3] == pytest.approx(300 * 0.06217)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(count=0, val=0), "count=0"),
        (dict(size=(64, 20)), "size=(64, 20)"),
        (dict(objects=-1), "objects=-1"),
        (dict(classes=("Car", "Tram")), "unknown: ['Tram']"),
        (dict(classes=()), "classes=() names none. Fix: some of ('Car',"),
        (dict(count=2, val=3), "val=3"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kitti_folder(**settings)
