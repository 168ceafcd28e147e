"""Generated data as the configs use them: the data set, its metric, and guessing without looking."""

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

import torch
from mmengine.structures import InstanceData

from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.detection.generated_coco import CommonPlacesMetric, GeneratedCocoDataset, GeneratedCocoMetric

SETTINGS = dict(count=12, size=64)


@pytest.fixture(scope="module")
def pictures():
    return GeneratedCocoDataset(generate=SETTINGS, test_mode=True)


def evaluate(metric, pictures, predict):
    metric.dataset_meta = pictures.metainfo
    for index in range(len(pictures)):
        info = pictures.get_data_info(index)
        sample = dict(img_id=info["img_id"], ori_shape=(info["height"], info["width"]), pred_instances=predict(info))
        metric.process({}, [sample])
    return metric.evaluate(len(pictures))


def truth(info):
    boxes = torch.tensor([one["bbox"] for one in info["instances"]]).reshape(-1, 4)
    labels = torch.tensor([one["bbox_label"] for one in info["instances"]], dtype=torch.long)
    return InstanceData(bboxes=boxes, labels=labels, scores=torch.ones(len(labels)))


def test_labels_are_raw_ids_and_one_name_belongs_to_each(pictures):
    assert pictures.metainfo["classes"] == ("none", "disc", "none", "square", "none", "none", "none", "triangle")
    assert len(pictures) == SETTINGS["count"]
    assert sum(not pictures.get_data_info(index)["instances"] for index in range(len(pictures))) == 1


def test_the_truth_has_an_ap_of_one_and_moved_boxes_less(pictures):
    found = evaluate(GeneratedCocoMetric(generate=SETTINGS), pictures, truth)
    assert found["coco/bbox_mAP"] == pytest.approx(1)

    def moved(info):
        boxes = truth(info)
        boxes.bboxes = boxes.bboxes + 3
        return boxes

    assert evaluate(GeneratedCocoMetric(generate=SETTINGS), pictures, moved)["coco/bbox_mAP"] < 0.7


def test_a_number_that_is_none_stays_and_one_that_does_not_exist_goes(pictures, monkeypatch):
    found = dict(bbox_mAP=float("nan"), bbox_mAP_s=0.0, bbox_mAP_l=-1.0)
    monkeypatch.setattr(DetrCocoMetric, "compute_metrics", lambda *_: found)
    assert GeneratedCocoMetric(generate=SETTINGS).compute_metrics([]).keys() == {"bbox_mAP", "bbox_mAP_s"}


def test_guessing_does_not_look_at_predictions_and_stays_near_zero(pictures):
    metric = CommonPlacesMetric(generate=SETTINGS, train=dict(count=24, size=64, seed=50))
    found = evaluate(metric, pictures, truth)
    assert set(found) >= {"baseline_coco/bbox_mAP", "baseline_coco/bbox_mAP_50"}
    assert 0 <= found["baseline_coco/bbox_mAP"] < 0.2
