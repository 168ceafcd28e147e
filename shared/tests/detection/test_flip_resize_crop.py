"""The augmentation that detectors share: both ways are taken, masks stay on what they cover, boxes that go take all."""

import numpy as np
import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

import torch
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmrepro.detection.flip_resize_crop import FlipResizeCrop
from mmrepro.engine import random_state


@pytest.fixture(autouse=True)
def _resize():
    """A paper's resize: one number is the shorter side."""

    class SidesResize(Resize):
        def __init__(self, scale):
            super().__init__(scale=scale, keep_ratio=True)

        def transform(self, results):
            if isinstance(self.scale, int):  # which RandomChoiceResize has set
                self.scale = (10_000, self.scale)
            return super().transform(results)

    TRANSFORMS.register_module(module=SidesResize)
    yield
    del TRANSFORMS.module_dict["SidesResize"]


def sample(boxes=((40, 50, 200, 160), (210, 10, 240, 60))):
    """A dark picture whose boxes are bright, each with a mask that is its box."""
    image = np.zeros((240, 320, 3), np.uint8)
    masks = np.zeros((len(boxes), 240, 320), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        image[y1:y2, x1:x2] = 250
        mask[y1:y2, x1:x2] = 1
    return dict(
        img=image,
        img_shape=(240, 320),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).float()),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
        gt_masks=BitmapMasks(masks, 240, 320),
    )


def test_masks_stay_on_what_they_cover_and_labels_go_with_their_boxes():
    augmentation = FlipResizeCrop("SidesResize", [120], 400, first_short_sides=[200], crop=(60, 120))
    with random_state.seeded(0):
        results = [augmentation(sample()) for _ in range(30)]
    for result in results:
        masks, labels = result["gt_masks"].masks, result["gt_bboxes_labels"]
        assert masks.shape == (len(labels), *result["img_shape"])
        assert len(result["gt_bboxes"]) == len(result["gt_ignore_flags"]) == len(labels)
        bright = result["img"][..., 0] > 125
        assert (masks.any(0) != bright).mean() < 0.05
    assert {len(result["gt_bboxes_labels"]) for result in results} >= {1, 2}


def test_without_a_crop_the_shape_is_the_pictures():
    augmentation = FlipResizeCrop("SidesResize", [120], 160, first_short_sides=[240], crop=(240, 240), flip_prob=0.0)
    with random_state.seeded(0):
        shapes = {augmentation(sample())["img_shape"] for _ in range(12)}
    assert shapes == {(120, 160), (120, 120)}  # the whole picture, and a square of it
