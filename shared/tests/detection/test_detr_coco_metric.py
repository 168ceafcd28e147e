"""The metric: labels and categories, no detections, files; the numbers are the parity case `coco_eval`."""

import json
from pathlib import Path

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.detection.detr_coco_metric import DetrCocoMetric

CATEGORIES = [dict(id=7, name="cat"), dict(id=3, name="dog")]
TRUTH = {1: [(3, [10, 10, 40, 40]), (7, [60, 60, 30, 30])], 2: [(3, [5, 5, 90, 90])]}


@pytest.fixture
def file(tmp_path):
    """An annotation file that leaves out areas and crowd flags and counts annotations from 0."""
    annotations = [
        dict(image_id=image, category_id=category, bbox=box) for image, ones in TRUTH.items() for category, box in ones
    ]
    content = dict(
        images=[dict(id=image) for image in TRUTH],
        categories=CATEGORIES,
        annotations=[dict(one, id=number) for number, one in enumerate(annotations)],
    )
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    return str(path)


def evaluate(metric, label_of, shift=0.0, extra=()):
    """Give the metric the truth with labels, and detections of image 1 besides."""
    for image, ones in TRUTH.items():
        found = [(label_of[category], box, 0.9) for category, box in ones if category in label_of]
        found += extra if image == 1 else ()
        boxes = torch.tensor([[x + shift, y, x + w + shift, y + h] for _, (x, y, w, h), _ in found]).reshape(-1, 4)
        sample = DetDataSample(metainfo=dict(img_id=image, ori_shape=(100, 100)))
        sample.pred_instances = InstanceData(
            bboxes=boxes.float(),
            labels=torch.tensor([label for label, _, _ in found], dtype=torch.long),
            scores=torch.tensor([score for _, _, score in found]),
        )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(TRUTH))


def test_raw_labels_are_category_ids(file):
    found = evaluate(DetrCocoMetric(file), {3: 3, 7: 7})
    assert found["coco/bbox_mAP"] == pytest.approx(1)
    assert list(found) == [
        *(f"coco/bbox_{name}" for name in ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")),
        *(f"coco/{name}" for name in ("AR@1", "AR@10", "AR@100", "AR_s@100", "AR_m@100", "AR_l@100")),
    ]


def test_contiguous_labels_follow_the_data_sets_classes(file):
    for classes, label_of in ((("cat", "dog"), {7: 0, 3: 1}), (("dog", "cat"), {3: 0, 7: 1})):
        metric = DetrCocoMetric(file, labels="contiguous")
        metric.dataset_meta = dict(classes=classes)
        assert evaluate(metric, label_of)["coco/bbox_mAP"] == pytest.approx(1)
        metric = DetrCocoMetric(file, labels="contiguous")
        metric.dataset_meta = dict(classes=classes[::-1])
        assert evaluate(metric, label_of)["coco/bbox_mAP"] < 0.1


RAW = ("none", "none", "none", "dog", "none", "none", "none", "cat")


@pytest.mark.parametrize(
    ("told", "label_of"),
    [
        (dict(labels="raw", classes=RAW), {3: 3, 7: 7}),
        (dict(labels="contiguous", classes=("cat", "dog")), {7: 0, 3: 1}),
    ],
)
def test_labels_are_those_of_the_data_set(file, told, label_of):
    for labels in (None, told["labels"]):
        metric = DetrCocoMetric(file, labels=labels)
        metric.dataset_meta = told
        assert evaluate(metric, label_of)["coco/bbox_mAP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "told", "said"),
    [
        ("raw", dict(labels="contiguous", classes=("cat", "dog")), r"labels='raw', but the data set has 'contiguous'"),
        ("contiguous", dict(labels="raw", classes=RAW), r"labels='contiguous', but the data set has 'raw'"),
        (None, dict(classes=("cat", "dog")), r"has 2 classes, 'cat', 'dog', but with labels='raw' the file's are 8"),
        ("contiguous", dict(classes=RAW), r"has 8 classes, .*, but with labels='contiguous' the file's are 2"),
    ],
)
def test_labels_other_than_the_data_sets_are_refused(file, labels, told, said):
    """They would give an AP of 0."""
    metric = DetrCocoMetric(file, labels=labels)
    metric.dataset_meta = told
    with pytest.raises(ValueError, match=rf"val\.json.*{said}.*Fix"):
        evaluate(metric, {3: 3, 7: 7})


def test_only_the_classes_of_the_data_set_count(file):
    metric = DetrCocoMetric(file)
    metric.dataset_meta = dict(classes=("none", "none", "none", "dog", "none", "none", "none", "none"))
    assert evaluate(metric, {3: 3})["coco/bbox_mAP"] == pytest.approx(1)
    assert evaluate(DetrCocoMetric(file), {3: 3})["coco/bbox_mAP"] == pytest.approx(0.5)


def test_labels_of_no_category_change_nothing(file):
    wrong = [(0, [10, 10, 40, 40], 0.99), (5, [60, 60, 30, 30], 0.99), (90, [0, 0, 9, 9], 0.99)]
    assert evaluate(DetrCocoMetric(file), {3: 3, 7: 7}, extra=wrong)["coco/bbox_mAP"] == pytest.approx(1)


def test_numbers_are_not_rounded_and_boxes_are_not_clipped(file):
    """A box that leaves the image keeps its extent: clipped, this one would fit better."""
    metric = DetrCocoMetric(file)
    found = evaluate(metric, {3: 3, 7: 7}, shift=12.0)
    clipped = DetrCocoMetric(file)
    for image, ones in TRUTH.items():
        metric_boxes = torch.tensor([[x + 12.0, y, min(x + w + 12.0, 100), y + h] for _, (x, y, w, h) in ones])
        sample = DetDataSample(metainfo=dict(img_id=image, ori_shape=(100, 100)))
        sample.pred_instances = InstanceData(
            bboxes=metric_boxes, labels=torch.tensor([one for one, _ in ones]), scores=torch.full((len(ones),), 0.9)
        )
        clipped.process({}, [sample.to_dict()])
    assert clipped.evaluate(2)["coco/bbox_mAP"] > found["coco/bbox_mAP"]
    assert round(found["coco/bbox_mAP"], 3) != found["coco/bbox_mAP"]


def test_no_detection_is_zero_not_an_error(file):
    assert evaluate(DetrCocoMetric(file), {})["coco/bbox_mAP"] == 0


def test_every_class_by_option(file):
    found = evaluate(DetrCocoMetric(file, classwise=True), {3: 3})
    assert found["coco/bbox_mAP/dog"] == pytest.approx(1)
    assert found["coco/bbox_mAP/cat"] == 0


def test_results_are_written_with_category_ids(file, tmp_path):
    evaluate(DetrCocoMetric(file, outfile_prefix=str(tmp_path / "out")), {3: 3, 7: 7})
    written = json.loads((tmp_path / "out.bbox.json").read_text())
    assert sorted(one["category_id"] for one in written) == [3, 3, 7]
    assert written[0]["bbox"] == pytest.approx([10, 10, 40, 40])


def test_only_writing_gives_no_numbers(file, tmp_path):
    metric = DetrCocoMetric(file, format_only=True, outfile_prefix=str(tmp_path / "out"))
    assert evaluate(metric, {3: 3, 7: 7}) == {}
    assert (tmp_path / "out.bbox.json").is_file()


@pytest.mark.parametrize("numbers", [(1, 10), (100, 10, 1), (1, 10, 10)])
def test_numbers_of_detections_are_three_ascending_ones(file, numbers):
    with pytest.raises(ValueError, match="three ascending numbers"):
        DetrCocoMetric(file, proposal_nums=numbers)


@pytest.mark.parametrize(
    ("numbers", "share"), [((1, 10, 100), 100 / 150), ((10, 100, 300), 1), ((5, 20, 50), 50 / 150)]
)
def test_every_ap_is_computed_with_the_last_number_of_detections(tmp_path, numbers, share):
    boxes = [[20 * (number % 15), 20 * (number // 15), 10, 10] for number in range(150)]
    content = dict(
        images=[dict(id=1)],
        categories=[dict(id=1, name="cell")],
        annotations=[dict(id=number, image_id=1, category_id=1, bbox=box) for number, box in enumerate(boxes)],
    )
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    metric = DetrCocoMetric(str(path), proposal_nums=numbers, classwise=True)
    sample = DetDataSample(metainfo=dict(img_id=1, ori_shape=(300, 300)))
    corners = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes]).float()
    sample.pred_instances = InstanceData(
        bboxes=corners, labels=torch.ones(150, dtype=torch.long), scores=torch.linspace(1, 0.5, 150)
    )
    metric.process({}, [sample.to_dict()])
    found = metric.evaluate(1)
    for name in ("bbox_mAP", "bbox_mAP_50", "bbox_mAP_75", "bbox_mAP_s", "bbox_mAP/cell"):
        assert found[f"coco/{name}"] == pytest.approx(share, abs=0.01), name
    for number in numbers:
        assert found[f"coco/AR@{number}"] == pytest.approx(min(number / 150, 1))


def test_a_measure_at_a_threshold_that_is_not_evaluated_is_missing(file):
    found = evaluate(DetrCocoMetric(file, iou_thrs=[0.5]), {3: 3, 7: 7})
    assert (found["coco/bbox_mAP_50"], found["coco/bbox_mAP_75"]) == (pytest.approx(1), -1)


@pytest.mark.parametrize("option", [dict(metric_items=["mAP"]), dict(use_mp_eval=True)])
def test_options_that_would_do_nothing_are_refused(file, option):
    with pytest.raises(TypeError, match=next(iter(option))):
        DetrCocoMetric(file, **option)


def test_null_areas_and_crowd_flags_are_those_of_plain_boxes(file):
    content = json.loads(Path(file).read_text())
    for annotation in content["annotations"]:
        annotation |= dict(area=None, iscrowd=None)
    Path(file).write_text(json.dumps(content))
    assert evaluate(DetrCocoMetric(file), {3: 3, 7: 7})["coco/bbox_mAP"] == pytest.approx(1)


def test_a_faulty_file_is_named(tmp_path):
    path = tmp_path / "val.json"
    path.write_text(json.dumps([dict(image_id=1)]))
    with pytest.raises(AnnotationError, match=r"val\.json has no list of objects as images"):
        DetrCocoMetric(str(path))


@pytest.fixture
def masked(file):
    """The same file with masks: the left half of every box."""
    content = json.loads(Path(file).read_text())
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        one["segmentation"] = [[x, y, x + w / 2, y, x + w / 2, y + h, x, y + h]]
    for image in content["images"]:
        image |= dict(file_name=f"{image['id']}.png", height=100, width=100)
    Path(file).write_text(json.dumps(content))
    return file


def evaluate_masks(metric, half=True, extra=()):
    """Give the metric the true boxes with masks of their left halves, or of the whole boxes."""
    for image, ones in TRUTH.items():
        found = [(category, box) for category, box in ones] + (list(extra) if image == 1 else [])
        masks = torch.zeros(len(found), 100, 100, dtype=torch.bool)
        for mask, (_, (x, y, w, h)) in zip(masks, found, strict=True):
            mask[y : y + h, x : x + (w // 2 if half else w)] = True
        sample = DetDataSample(metainfo=dict(img_id=image, ori_shape=(100, 100)))
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([[x, y, x + w, y + h] for _, (x, y, w, h) in found]).float(),
            labels=torch.tensor([category for category, _ in found]),
            scores=torch.full((len(found),), 0.9),
            masks=masks,
        )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(TRUTH))


def test_masks_and_boxes_are_measured_each_by_its_own_overlap(masked):
    right = evaluate_masks(DetrCocoMetric(masked, metric=["bbox", "segm"], classwise=True))
    assert (right["coco/bbox_mAP"], right["coco/segm_mAP"]) == pytest.approx((1, 1))
    assert right["coco/segm_AR@100"] == right["coco/segm_mAP/dog"] == pytest.approx(1)
    wrong = evaluate_masks(DetrCocoMetric(masked, metric=["bbox", "segm"]), half=False)
    assert (wrong["coco/bbox_mAP"], wrong["coco/segm_mAP"]) == pytest.approx((1, 0), abs=0.11)
    assert "coco/bbox_mAP" not in evaluate_masks(DetrCocoMetric(masked, metric="segm"))


def test_a_label_that_no_category_has_is_left_out_with_its_mask(masked):
    extra = [(5, [0, 0, 50, 50])]
    found = evaluate_masks(DetrCocoMetric(masked, metric=["bbox", "segm"]), extra=extra)
    assert found["coco/segm_mAP"] == pytest.approx(1)


def test_masks_are_written_to_files(masked, tmp_path):
    evaluate_masks(DetrCocoMetric(masked, metric=["bbox", "segm"], outfile_prefix=str(tmp_path / "out")))
    written = json.loads((tmp_path / "out.segm.json").read_text())
    assert written[0]["segmentation"]["size"] == [100, 100]


def test_a_file_of_boxes_alone_is_refused_where_masks_are_measured(masked):
    content = json.loads(Path(masked).read_text())
    for one in content["annotations"]:
        del one["segmentation"]
    Path(masked).write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"val\.json: 3 objects have no segmentation.*Fix: metric='bbox'"):
        DetrCocoMetric(masked, metric=["bbox", "segm"])


def test_a_crowd_without_a_mask_is_refused_where_masks_are_measured(masked):
    content = json.loads(Path(masked).read_text())
    content["annotations"][1]["iscrowd"] = 1
    del content["annotations"][1]["segmentation"]
    Path(masked).write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"1 objects have no segmentation \(annotation 1 of image 1"):
        DetrCocoMetric(masked, metric=["bbox", "segm"])


def test_a_detector_without_masks_is_said_where_masks_are_measured(masked):
    with pytest.raises(ValueError, match=r"the detector gives none.*metric='bbox'"):
        evaluate(DetrCocoMetric(masked, metric=["bbox", "segm"]), {3: 3, 7: 7})


def test_another_measure_is_refused(file):
    with pytest.raises(ValueError, match="metric is 'bbox', 'segm' or both, got 'proposal'"):
        DetrCocoMetric(file, metric="proposal")
