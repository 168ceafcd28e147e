"""CamVid and the generated data sets: what the libraries' own transforms load is what the files say."""

import numpy as np
import pytest
from mmdet.registry import DATASETS as DETECTION
from mmdet.registry import METRICS
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS as SEGMENTATION
from PIL import Image

from mm_vit_comer.datasets import CamVidDataset
from mmrepro.testing import require_data

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
DRAWN = dict(count=6, size=64)


def camvid(root, **settings):
    for split in ("train", "trainannot"):
        (root / split).mkdir()
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.new("RGB", (4, 3)).save(root / "train/a.png")
    Image.fromarray(labels).save(root / "trainannot/a.png")
    init_default_scope("mmseg")
    return CamVidDataset(data_root=str(root), pipeline=LOAD, **settings)


def test_camvid_has_eleven_classes_and_leaves_void_out(tmp_path):
    data = camvid(tmp_path)
    assert len(data.metainfo["classes"]) == len(data.metainfo["palette"]) == 11
    assert data[0]["gt_seg_map"].ravel().tolist() == [*range(11), 255]


def test_some_of_camvids_classes(tmp_path):
    data = camvid(tmp_path, metainfo=dict(classes=("car", "road")))
    labels = data[0]["gt_seg_map"].ravel()
    assert (labels[8], labels[3], set(labels)) == (0, 1, {0, 1, 255})


def test_camvid_that_is_nowhere_names_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}.*camvid.*train.*Fix: put the folder CamVid"):
        CamVidDataset()


def test_camvid_itself():
    require_data("camvid")
    init_default_scope("mmseg")
    for split in ("train", "val"):
        data = CamVidDataset(split, pipeline=LOAD)
        sample = data[0]
        assert sample["img"].shape == (360, 480, 3)
        assert sample["gt_seg_map"].shape == (360, 480)
        assert set(np.unique(sample["gt_seg_map"])) <= {*range(11), 255}


def test_generated_label_maps_are_loaded():
    init_default_scope("mmseg")
    data = SEGMENTATION.build(dict(type="GeneratedSegDataset", generate=DRAWN, pipeline=LOAD))
    assert (len(data), data.metainfo["classes"]) == (6, ("ground", "disc", "square", "triangle"))
    found = set().union(*(np.unique(data[index]["gt_seg_map"]).tolist() for index in range(6)))
    assert found == {0, 1, 2, 3}


def test_generated_boxes_and_masks_are_loaded_and_measured():
    init_default_scope("mmdet")
    load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
    data = DETECTION.build(dict(type="CoMerGeneratedCocoDataset", generate=DRAWN, pipeline=load))
    assert data.metainfo["classes"] == ("disc", "square", "triangle")
    samples = [data[index] for index in range(6)]
    assert {int(label) for sample in samples for label in sample["gt_bboxes_labels"]} == {0, 1, 2}
    assert all(len(sample["gt_masks"]) == len(sample["gt_bboxes"]) for sample in samples)

    metric = METRICS.build(dict(type="CoMerGeneratedCocoMetric", generate=DRAWN))
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
    measured = metric.evaluate(6)
    assert measured["coco/bbox_mAP"] == pytest.approx(1)
    assert measured["coco/segm_mAP"] > 0.9
