"""The resize: sizes, boxes and masks; the table of sizes and the pixels are the parity case `data_pipeline`."""

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mm_vidt.datasets.vidt_resize import ViDTResize, resized_size


def sample(height, width, masks=1):
    drawn = np.zeros((masks, height, width), np.uint8)
    drawn[:, : height // 2] = 1
    return dict(
        img=np.zeros((height, width, 3), np.uint8),
        gt_bboxes=HorizontalBoxes(torch.tensor([[0.0, 0.0, width, height / 2]] * masks).reshape(-1, 4)),
        gt_masks=BitmapMasks(drawn, height, width),
    )


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((480, 640), (800, 1333), (800, 1056)),
        ((480, 640), 500, (496, 656)),  # both sides are cut down to multiples of 16
        ((481, 481), 481, (480, 480)),
        ((40, 3000), (800, 1333), (16, 1344)),  # officially 18 becomes 16, and below 16 no picture is left
        ((4, 3000), (800, 1333), (16, 1488)),
    ],
)
def test_both_sides_are_multiples_of_sixteen(size, scale, expected):
    shortest, longest = (scale, None) if isinstance(scale, int) else scale
    assert resized_size(*size, shortest, longest) == expected


@pytest.mark.parametrize("masks", [0, 1, 3])
def test_boxes_and_masks_go_with_the_picture(masks):
    result = ViDTResize(scale=(64, 48))(sample(30, 45, masks))
    height, width = result["img_shape"]
    assert result["img"].shape[:2] == result["gt_masks"].masks.shape[1:] == (height, width)
    assert result["gt_masks"].masks.sum((1, 2)).tolist() == [height // 2 * width] * masks
    assert result["gt_bboxes"].tensor.tolist() == [[0, 0, width, height / 2]] * masks


def test_a_flipped_mask_is_resized():
    """Its array is a view with negative strides, which torch does not take."""
    given = sample(32, 48)
    given["gt_masks"] = given["gt_masks"].flip("horizontal")
    assert ViDTResize(scale=16)(given)["gt_masks"].masks.sum() == 8 * 16


def test_polygons_are_refused_by_name():
    polygons = PolygonMasks([[np.array([0.0, 0, 40, 0, 40, 30])]], 32, 48)
    with pytest.raises(ValueError, match=r"road\.png: .* PolygonMasks\. Fix: LoadAnnotations\(.*poly2mask=True\)"):
        ViDTResize(scale=16)(sample(32, 48) | dict(gt_masks=polygons, img_path="road.png"))


def test_a_picture_that_would_become_huge_is_named():
    resize = TRANSFORMS.build(dict(type="ViDTResize", scale=800))
    with pytest.raises(ValueError, match=r"road\.png of 9000 x 2 pixels.*too long and thin"):
        resize(sample(2, 9000) | dict(img_path="road.png"))
