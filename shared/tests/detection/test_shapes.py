"""Generated pictures as mmdet's data: what its transforms load is what the files say, and its metric finds them."""

import subprocess
import sys

import pytest

import mmrepro.detection

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

from mmdet.registry import DATASETS, METRICS

from mmrepro.detection.shapes import ShapesCocoDataset, ShapesCocoMetric

DRAWN = dict(count=6, size=64)
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]


def test_the_package_itself_does_without_mmdet():
    question = f"import sys, {mmrepro.detection.__name__}; sys.exit('mmdet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", question], check=False).returncode == 0


def test_both_are_found_by_name():
    assert DATASETS.get("ShapesCocoDataset") is ShapesCocoDataset
    assert METRICS.get("ShapesCocoMetric") is ShapesCocoMetric


def test_boxes_and_masks_are_loaded_and_measured():
    data = ShapesCocoDataset(generate=DRAWN, pipeline=LOAD)
    assert data.metainfo["classes"] == ("disc", "square", "triangle")
    assert len(data.metainfo["palette"]) == 3
    samples = [data[index] for index in range(DRAWN["count"])]
    assert {int(label) for sample in samples for label in sample["gt_bboxes_labels"]} == {0, 1, 2}
    assert all(len(sample["gt_masks"]) == len(sample["gt_bboxes"]) for sample in samples)

    metric = ShapesCocoMetric(generate=DRAWN)
    metric.dataset_meta = data.metainfo
    for sample in samples:  # the annotations themselves as predictions
        boxes = sample["gt_bboxes"].tensor
        found = dict(
            bboxes=boxes,
            scores=boxes.new_ones(len(boxes)),
            labels=boxes.new_tensor(sample["gt_bboxes_labels"]).long(),
            masks=boxes.new_tensor(sample["gt_masks"].to_ndarray()).bool(),
        )
        metric.process({}, [dict(img_id=sample["img_id"], ori_shape=sample["ori_shape"], pred_instances=found)])
    measured = metric.evaluate(len(samples))
    assert measured["coco/bbox_mAP"] == pytest.approx(1)
    assert measured["coco/segm_mAP"] > 0.9


def test_boxes_alone_are_measured_where_asked():
    assert ShapesCocoMetric(generate=DRAWN, metric="bbox").metrics == ["bbox"]
