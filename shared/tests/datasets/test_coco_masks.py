"""Masks that no object can have are told apart from those that tools write."""

import math

import pytest

from mmrepro.datasets.coco_masks import fault_of_mask

WIDTH, HEIGHT = 40, 30
SQUARE = [1, 1, 9, 1, 9, 9, 1, 9]


@pytest.mark.parametrize(
    "mask",
    [
        [SQUARE],
        [SQUARE, [20, 20, 30.5, 20, 20, 25]],
        [[-3, 0, 43, 0, 43, 33]],  # sticks out a little
        dict(size=[HEIGHT, WIDTH], counts=[600, 600]),
        dict(size=[HEIGHT, WIDTH], counts="PP`l0"),
    ],
)
def test_masks_in_order(mask):
    assert fault_of_mask(mask, WIDTH, HEIGHT) is None


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (None, "objects without a mask"),
        ([], "objects without a mask"),
        ([SQUARE[:-1]], "an odd number of coordinates"),
        ([SQUARE, SQUARE[:4]], "fewer than three corners"),
        ([[]], "fewer than three corners"),
        ([[1, 1, 9, 1, 9, 400]], "far outside their image"),
        ([[1, -30, 9, 1, 9, 9]], "far outside their image"),
        ([[1, 1, 9, 1, 9, "9"]], "no lists of finite numbers"),
        ([[1, 1, 9, 1, 9, math.nan]], "no lists of finite numbers"),
        ([[(1, 1), (9, 1), (9, 9)]], "no lists of finite numbers"),
        (SQUARE, "no lists of finite numbers"),
        (dict(counts=[1200]), "without size or counts"),
        (dict(size=[HEIGHT, WIDTH]), "without size or counts"),
        (dict(size=[WIDTH, HEIGHT], counts=[1200]), "of another size"),
        (dict(size=[HEIGHT, WIDTH], counts=[600, 500]), "do not fill their image"),
    ],
)
def test_a_fault_is_named(mask, fault):
    assert fault in fault_of_mask(mask, WIDTH, HEIGHT)
