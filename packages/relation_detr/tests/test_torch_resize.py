"""Resizing: truncated sizes, antialiased pixels, boxes and masks along."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mm_relation_detr.datasets.torch_resize import TorchResize, resize_image, resized_size


@pytest.mark.parametrize(
    ("given", "sides", "expected"),
    [
        ((480, 640), (800, 1333), (800, 1066)),
        ((427, 640), (800, 1333), (800, 1199)),
        ((1192, 772), (800, 1333), (1235, 799)),  # truncated where rounding says 800
        ((300, 900), (800, 1333), (444, 1333)),
        ((300, 900), (400, None), (400, 1200)),
    ],
)
def test_sizes_are_truncated(given, sides, expected):
    assert resized_size(*given, *sides) == expected


def test_single_precision_differs_where_the_official_test_does():
    assert resized_size(492, 764, 800, 1333, single_precision=True) == (799, 1242)
    assert resized_size(492, 764, 800, 1333) == (800, 1242)


@pytest.mark.parametrize("scale", [(1333, 800), (800, 1333)])
def test_a_pair_is_longest_and_shortest_in_either_order(scale):
    assert TorchResize(scale)(dict(img=np.zeros((300, 900, 3), np.uint8)))["img"].shape == (444, 1333, 3)


def test_one_number_is_the_shorter_side_without_a_limit():
    assert TorchResize(40)(dict(img=np.zeros((30, 900, 3), np.uint8)))["img_shape"] == (40, 1200)


@pytest.mark.parametrize("single", [False, True])
def test_strips_keep_a_pixel(single):
    assert resized_size(2000, 1, 800, 1333, single) == (1333, 1)
    assert TorchResize((1333, 800), single)(dict(img=np.zeros((2, 3000, 3), np.uint8)))["img"].shape == (1, 1333, 3)


def test_a_strip_that_would_fill_the_memory_is_named():
    with pytest.raises(ValueError, match=r"a\.png of 10000 x 2 pixels would get 3000000 x 600.*Fix"):
        TorchResize(600)(dict(img=np.zeros((2, 10_000, 3), np.uint8), img_path="a.png"))


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((60, 60, 3), np.uint8)
    stripes[:, 4::10] = stripes[:, 5::10] = 200  # where bilinear sampling alone would look
    small = resize_image(stripes, (6, 6))
    assert small.dtype == np.uint8
    assert np.abs(small[:, 1:-1].astype(int) - 40).max() <= 1


def test_pixels_of_a_grey_picture_and_of_floats():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    assert np.array_equal(resize_image(picture, (9, 13)), resize_image(picture[..., None], (9, 13))[..., 0])
    exact = resize_image(picture.astype(np.float32), (9, 13))
    assert np.abs(exact - resize_image(picture, (9, 13))).max() <= 0.5
    assert resize_image(picture, (20, 30)) is picture


def test_boxes_and_masks_follow_and_stay_inside():
    boxes = HorizontalBoxes(torch.tensor([[0.0, 0.0, 64.0, 48.0], [10.0, 12.0, 20.0, 24.0]]))
    masks = BitmapMasks(np.ones((2, 48, 64), np.uint8), 48, 64)
    result = TorchResize((133, 80))(dict(img=np.zeros((48, 64, 3), np.uint8), gt_bboxes=boxes, gt_masks=masks))
    assert result["img_shape"] == (80, 106)
    assert result["scale_factor"] == (106 / 64, 80 / 48)
    assert result["gt_bboxes"].tensor[0].tolist() == [0, 0, 106, 80]
    assert torch.allclose(result["gt_bboxes"].tensor[1], torch.tensor([10 * 106 / 64, 20, 20 * 106 / 64, 40]))
    assert result["gt_masks"].masks.shape == (2, 80, 106)


def test_it_serves_mmcvs_random_choice():
    resize = Compose([dict(type="RandomChoiceResize", scales=[(60, 20), 24], resize_type="mmdet.TorchResize")])
    shapes = {resize(dict(img=np.zeros((10, 50, 3), np.uint8)))["img_shape"] for _ in range(40)}
    assert shapes == {(12, 60), (24, 120)}
