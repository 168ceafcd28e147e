"""The baseline of detection: it guesses by the training pictures alone, whatever was predicted."""

import json

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

import torch
from mmdet.registry import METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, coco_folder
from mmrepro.detection.common_places import ShapesCommonPlacesMetric
from mmrepro.detection.shapes import ShapesCocoDataset

TRAIN, TEST = dict(count=24, size=64, seed=50), dict(count=6, size=64)


def test_guesses_are_a_grid_of_boxes_of_each_categorys_size():
    metric = METRICS.build(dict(type="ShapesCommonPlacesMetric", train=TRAIN, generate=TEST, grid=2))
    listed = json.loads((coco_folder(**TRAIN) / ANNOTATIONS).read_text())
    sizes = {image["id"]: image["width"] for image in listed["images"]}
    squares = [one for one in listed["annotations"] if one["category_id"] == 3]
    found = metric.guesses
    assert found["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found["scores"][4].item() == pytest.approx(len(squares) / len(listed["annotations"]))
    left, top, right, bottom = found["bboxes"][4:8].T
    assert torch.stack([left + right, top + bottom]).T.tolist() == [[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]]
    width = sum(one["bbox"][2] / sizes[one["image_id"]] for one in squares) / len(squares)
    assert (right - left)[0].item() == pytest.approx(width)


def test_a_mask_is_the_whole_box():
    metric = ShapesCommonPlacesMetric(train=TRAIN, generate=TEST, grid=1)
    metric.guesses = dict(bboxes=torch.tensor([[0.25, 0.5, 0.75, 1.0]]))
    found = metric.guess(height=4, width=8)
    assert found["bboxes"].tolist() == [[2, 2, 6, 4]]
    assert found["masks"][0].int().tolist() == [[0] * 8] * 2 + [[0, 0, 1, 1, 1, 1, 0, 0]] * 2


def test_its_values_are_those_of_the_guesses_whatever_was_predicted():
    data = ShapesCocoDataset(generate=TEST)
    measured = []
    for scores in ((), (1.0,)):
        metric = ShapesCommonPlacesMetric(train=TRAIN, generate=TEST)
        metric.dataset_meta = data.metainfo
        for index in range(len(data)):
            info = data.get_data_info(index)
            boxes = [one["bbox"] for one in info["instances"]][: len(scores)]
            found = dict(bboxes=torch.tensor(boxes), scores=torch.tensor(scores), labels=torch.zeros(len(scores)))
            shape = (info["height"], info["width"])
            metric.process({}, [dict(img_id=info["img_id"], ori_shape=shape, pred_instances=found)])
        measured.append(metric.evaluate(len(data)))
    first, second = measured
    assert first == second
    assert set(first) >= {"baseline_coco/bbox_mAP", "baseline_coco/segm_mAP"}
    assert 0 <= first["baseline_coco/bbox_mAP"] < 0.3
    assert first["baseline_coco/bbox_mAP_50"] > 0
    assert "baseline_coco/bbox_mAP_l" not in first, "no object is so large"
