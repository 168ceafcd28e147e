"""Generated label maps: files that fit each other, and labels where the pictures show the shapes."""

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.coco_shapes import CATEGORIES, EMPTY_EVERY, Shape, shapes_picture
from mmrepro.datasets.generated.seg_shapes import CLASSES, MASKS, PALETTE, PICTURES, label_map, seg_folder


def test_every_picture_has_a_label_map_of_its_name_and_size():
    folder = seg_folder(count=EMPTY_EVERY, size=64)
    pictures = sorted((folder / PICTURES).iterdir())
    assert [path.name for path in pictures] == [path.name for path in sorted((folder / MASKS).iterdir())]
    assert len(pictures) == EMPTY_EVERY
    counts = np.zeros(256, int)
    for path in pictures:
        with Image.open(path) as picture, Image.open(folder / MASKS / path.name) as mask:
            assert picture.size == mask.size
            assert (picture.mode, mask.mode) == ("RGB", "L")
            counts += np.bincount(np.asarray(mask).ravel(), minlength=256)
    assert (counts[: len(CLASSES)] > 0).all()
    assert not counts[len(CLASSES) :].any()
    assert len(PALETTE) == len(CLASSES)


def test_the_same_every_time_and_others_by_seed():
    picture, shapes = shapes_picture(64, seed=5)
    folder = seg_folder(count=2, size=64, seed=4)
    with Image.open(folder / PICTURES / "shapes_0001.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), picture)
    with Image.open(folder / MASKS / "shapes_0001.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), label_map(*picture.shape[:2], shapes))


def test_labels_are_where_the_shapes_are_seen():
    for seed in range(6):
        picture, shapes = shapes_picture(96, seed)
        labels = label_map(*picture.shape[:2], shapes)
        coloured = np.ptp(picture.astype(int), axis=2) > 45  # the ground's noise is less
        assert (coloured == (labels > 0)).mean() > 0.98
        for shape in shapes:
            x, y = shape.outline.mean(0)
            assert CLASSES[labels[int(y), int(x)]] == CATEGORIES[shape.category]


def test_a_pixel_belongs_to_the_shape_that_covers_its_centre():
    square = Shape(3, np.array([[1.0, 1.0], [3.4, 1.0], [3.4, 2.6], [1.0, 2.6]]), (0, 0, 0))
    labels = label_map(4, 5, [square])
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = CLASSES.index("square")
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(("settings", "message"), [(dict(count=0), "count=0"), (dict(size=8), "size=8")])
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        seg_folder(**settings)
