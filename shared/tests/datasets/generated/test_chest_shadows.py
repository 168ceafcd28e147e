"""Generated chest pictures: what the classes differ in, and the class folders."""

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.chest_shadows import CLASSES, chest_folder, chest_picture


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_picture_every_time_and_others_by_seed(kind):
    picture = chest_picture(kind, 48, seed=1)
    assert (picture.shape, picture.dtype) == ((48, 48), np.uint8)
    np.testing.assert_array_equal(chest_picture(kind, 48, seed=1), picture)
    assert (chest_picture(kind, 48, seed=2) != picture).any()


def test_spots_are_in_the_upper_lungs_of_one_class_only():
    def mean(kind):
        return np.mean([chest_picture(kind, 64, seed) for seed in range(60)], axis=0)

    normal, ill = (mean(kind) for kind in CLASSES)
    brighter = ill - normal
    upper = brighter[16:30, [*range(14, 24), *range(40, 50)]].mean()
    assert upper > brighter[40:56].mean() + 8


def test_class_folders():
    folder = chest_folder(train=4, test=2, size=32)
    for part, count in (("train", 2), ("test", 1)):
        assert [len(list((folder / part / kind).iterdir())) for kind in CLASSES] == [count, count]
    with Image.open(folder / "test/Tuberculosis/00005.png") as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), chest_picture("Tuberculosis", 32, seed=5))


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="kind='Covid'"):
        chest_picture("Covid")
    with pytest.raises(ValueError, match="size=16"):
        chest_picture("Normal", 16)
    with pytest.raises(ValueError, match="count=0"):
        chest_folder(test=0)
