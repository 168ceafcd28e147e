"""The training augmentation: both ways are taken, sizes and boxes keep their bounds, pictures keep what they show."""

import json

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes
from PIL import Image

from mm_relation_detr.datasets.detr_augmentation import SHORT_SIDES, DETRAugmentation, DropSmallBoxes
from mmrepro.detection.detr_coco import DetrCocoDataset
from mmrepro.engine import random_state


def sample(height=240, width=320, boxes=((40.0, 50.0, 200.0, 160.0),)):
    """A dark picture whose boxes are bright."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in np.array(boxes, int):
        image[y1:y2, x1:x2] = 250
    return dict(
        img=image,
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes)),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def test_the_short_sides_are_the_official_ones():
    assert SHORT_SIDES == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)


def test_shapes_keep_their_bounds_and_both_ways_are_taken():
    augmentation = DETRAugmentation()
    with random_state.seeded(0):
        shapes = [augmentation(sample())["img_shape"] for _ in range(30)]
    # (h, w) of the whole picture is 3 : 4; a crop is not.
    whole = [abs(width / height - 4 / 3) < 0.01 for height, width in shapes]
    assert 5 < sum(whole) < 25
    for height, width in shapes:
        assert max(height, width) <= 1333
        assert min(height, width) in SHORT_SIDES or max(height, width) == 1333 or min(height, width) + 1 in SHORT_SIDES


def test_boxes_stay_on_what_they_frame():
    augmentation = DETRAugmentation()
    with random_state.seeded(1):
        results = [augmentation(sample()) for _ in range(12)]
    for result in results:
        height, width = result["img_shape"]
        for x1, y1, x2, y2 in result["gt_bboxes"].tensor.tolist():
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            inside = result["img"][round(y1) + 6 : round(y2) - 6, round(x1) + 6 : round(x2) - 6]
            assert inside.size == 0 or inside.min() > 240
            assert (result["img"] > 240).mean() == pytest.approx((x2 - x1) * (y2 - y1) / (height * width), abs=0.02)


def test_a_crop_may_leave_no_box_and_labels_go_with_their_boxes():
    augmentation = DETRAugmentation(
        short_sides=[40], longest=400, first_short_sides=[240], crop=(30, 60), flip_prob=0.0
    )
    boxes = ((0.0, 0.0, 20.0, 20.0), (100.0, 100.0, 140.0, 140.0))
    with random_state.seeded(2):
        results = [augmentation(sample(boxes=boxes)) for _ in range(60)]
    counts = set()
    for result in results:
        assert len(result["gt_bboxes"]) == len(result["gt_bboxes_labels"]) == len(result["gt_ignore_flags"])
        counts.add(len(result["gt_bboxes"]))
    assert {0, 2} <= counts


def test_boxes_below_a_pixel_go_and_those_of_one_stay():
    boxes = ((0.0, 0.0, 1.0, 9.0), (0.0, 0.0, 0.99, 9.0), (5.0, 5.0, 9.0, 5.5))
    result = DropSmallBoxes()(sample(boxes=boxes))
    assert result["gt_bboxes"].tensor.tolist() == [[0, 0, 1, 9]]
    assert result["gt_bboxes_labels"].tolist() == [0]
    assert len(DropSmallBoxes(20)(sample(boxes=boxes))["gt_bboxes"]) == 0


def test_the_pipeline_of_training_from_files_ignores_the_cameras_rotation(tmp_path):
    """Official pictures are decoded without regard to EXIF; annotations are made for that."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 40)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.json").write_text(
        json.dumps(
            dict(
                images=[dict(id=1, file_name="a.jpg", width=64, height=40)],
                categories=[dict(id=1, name="dog")],
                annotations=[dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 40, 30], area=1200, iscrowd=0)],
            )
        )
    )
    pipeline = [
        dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
        dict(type="mmdet.LoadAnnotations", with_bbox=True),
        dict(type="mmdet.DETRAugmentation", short_sides=[20], longest=100, first_short_sides=[40], crop=(40, 64)),
        dict(type="mmdet.PackDetInputs"),
    ]
    dataset = DetrCocoDataset(
        "a.json", data_root=str(tmp_path), data_prefix=dict(img=""), pipeline=pipeline, serialize_data=False
    )
    packed = dataset[0]
    assert packed["inputs"].shape[1] == 20
    assert packed["data_samples"].gt_instances.labels.tolist() == [1]


def test_the_same_draws_give_the_same_sample():
    augmentation = Compose([dict(type="mmdet.DETRAugmentation")])
    results = []
    for _ in range(2):
        with random_state.seeded(5):
            results.append(augmentation(sample()))
    assert np.array_equal(results[0]["img"], results[1]["img"])
    assert torch.equal(results[0]["gt_bboxes"].tensor, results[1]["gt_bboxes"].tensor)
