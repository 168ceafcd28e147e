"""Generated thermal pictures: warm bodies, persons that stay themselves, and the files of both layouts."""

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.thermal import (
    CAMERAS,
    CLASSES,
    person_picture,
    regdb_folder,
    thermal_folder,
    thermal_picture,
)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_picture_every_time_and_others_by_seed(kind):
    picture = thermal_picture(kind, 32, seed=1)
    assert (picture.shape, picture.dtype) == ((32, 32), np.uint8)
    np.testing.assert_array_equal(thermal_picture(kind, 32, seed=1), picture)
    assert (thermal_picture(kind, 32, seed=2) != picture).any()


def test_what_is_warm_is_bright():
    warm = {kind: np.ptp(thermal_picture(kind, 64, seed=0).astype(int)) for kind in CLASSES}
    assert warm.pop("empty") < 45 < 80 < min(warm.values())


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_person_looks_more_like_itself_than_like_another(camera):
    def warmth(person, seed):  # of a column through the middle, which knows head, trunk and legs
        return person_picture(person, camera, 32, seed).astype(float)[:, 13:19].mean(1).ravel()

    same = [np.abs(warmth(one, 0) - warmth(one, 1)).mean() for one in range(6)]
    other = [np.abs(warmth(one, 0) - warmth(one + 1, 1)).mean() for one in range(6)]
    assert np.mean(same) < 0.7 * np.mean(other)


def test_class_folders():
    folder = thermal_folder(train=8, test=4, size=16)
    for part, count in (("train", 2), ("test", 1)):
        files = {kind: sorted((folder / part / kind).iterdir()) for kind in CLASSES}
        assert {kind: len(listed) for kind, listed in files.items()} == dict.fromkeys(CLASSES, count)
    with Image.open(folder / "test/car/00009.png") as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), thermal_picture("car", 16, seed=9))


def test_regdbs_files():
    folder = regdb_folder(train=2, test=3, pictures=2, size=16)
    persons = {}
    for part, count in (("train", 2), ("test", 3)):
        for camera in CAMERAS:
            lines = (folder / f"idx/{part}_{camera.lower()}_1.txt").read_text().splitlines()
            pairs = [line.split() for line in lines]
            assert [int(label) for _, label in pairs] == np.repeat(np.arange(count), 2).tolist()
            persons.setdefault(part, set()).update(path.split("/")[1] for path, _ in pairs)
            for path, _ in pairs:
                with Image.open(folder / path) as picture:
                    assert (picture.size, picture.mode) == ((16, 32), "L" if camera == "Thermal" else "RGB")
    assert persons == dict(train={"1", "2"}, test={"3", "4", "5"})


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="kind='bird'"):
        thermal_picture("bird")
    with pytest.raises(ValueError, match="camera='Radar'"):
        person_picture(1, "Radar")
    with pytest.raises(ValueError, match="count=0"):
        regdb_folder(pictures=0)
