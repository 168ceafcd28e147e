"""VOC's format as a data set: classes, boxes, difficult objects and pictures that are missing."""

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

import torch
from mmdet.registry import METRICS
from mmengine.structures import InstanceData
from PIL import Image

from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.detection import detr_coco, detr_voc
from mmrepro.detection.detr_voc import DetrVocDataset

PIPELINE = [
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


@pytest.fixture
def write(tmp_path):
    """Write pictures of 40 x 30 pixels with objects (name, x1, y1, x2, y2, difficult)."""

    def write(*pictures):
        for folder in ("Annotations", "JPEGImages"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for number, objects in enumerate(pictures):
            listed = "".join(
                f"<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult><bndbox><xmin>{x1}</xmin>"
                f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
                for name, x1, y1, x2, y2, *difficult in objects
            )
            size = "<size><width>40</width><height>30</height></size>"
            (tmp_path / "Annotations" / f"{number}.xml").write_text(f"<annotation>{size}{listed}</annotation>")
            Image.new("RGB", (40, 30)).save(tmp_path / "JPEGImages" / f"{number}.png")
        (tmp_path / "train.txt").write_text("".join(f"{number}\n" for number in range(len(pictures))))
        return dict(data_root=str(tmp_path), ann_file="train.txt", serialize_data=False)

    return write


@pytest.fixture
def log(monkeypatch):
    said = []
    for module in (detr_coco, detr_voc):
        monkeypatch.setattr(module, "print_log", lambda message, logger, level=None: said.append(message))
    return said


def classes(*names):
    return dict(metainfo=dict(classes=names))


def instances(dataset, index=0):
    return [(one["bbox_label"], one["bbox"], one["ignore_flag"]) for one in dataset.get_data_info(index)["instances"]]


def test_labels_are_places_in_the_classes_and_boxes_are_clipped_or_dropped(write, log):
    objects = [
        ("owl", 1, 1, 11, 21),
        ("cat", -5, 3, 80, 9),
        ("cat", 5, 5, 5, 9),
        ("cat", 9, 9, 4, 4),
        ("cat", 60, 5, 70, 9),
        ("dog", 1, 1, 9, 9),
    ]
    dataset = DetrVocDataset(**write(objects, []), **classes("owl", "cat"))
    assert len(dataset) == 1
    assert instances(dataset) == [(0, [0, 0, 10, 20], 0), (1, [0, 2, 40, 8], 0)]
    assert dataset.metainfo["classes"] == ("owl", "cat")
    (said,) = log
    for part in (
        "1 images without annotations",
        "1 boxes of other classes left out",
        "3 boxes without extent in their image dropped",
        "1 boxes clipped to their image",
    ):
        assert part in said
    assert len(DetrVocDataset(**write(objects, []), **classes("owl", "cat"), test_mode=True)) == 2


def test_difficult_objects_are_neither_trained_on_nor_counted(write):
    given = write([("cat", 1, 1, 9, 9), ("cat", 11, 11, 19, 19, True)])
    dataset = DetrVocDataset(**given, **classes("cat"), pipeline=PIPELINE)
    assert [flag for *_, flag in instances(dataset)] == [0, 1]
    sample = dataset[0]["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 0, 8, 8]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[10, 10, 18, 18]]
    with pytest.raises(AnnotationError, match="none of 1 images can be trained on"):
        DetrVocDataset(**write([("cat", 11, 11, 19, 19, True)]), **classes("cat"))


@pytest.mark.parametrize(("found", "expected"), [((0, 1, 2), 1), ((0, 1, 2, 3), 1), ((0, 1), 0.5), ((0, 2, 3), 0.75)])
def test_mmdets_metric_counts_neither_found_nor_missed_difficult_objects(write, found, expected):
    """Of perfect detections: two cats and an owl, and an owl that is difficult."""
    objects = [("cat", 1, 1, 9, 9), ("cat", 21, 1, 33, 12), ("owl", 1, 15, 20, 29), ("owl", 25, 15, 39, 29, True)]
    # boxes are loaded last, for they are compared in pixels of the stored picture
    steps = [PIPELINE[0], dict(type="Resize", scale=(80, 60)), *PIPELINE[1:]]
    dataset = DetrVocDataset(**write(objects), **classes("cat", "owl"), pipeline=steps, test_mode=True)
    metric = METRICS.build(dict(type="VOCMetric", metric="mAP", eval_mode="area"))
    sample = dataset[0]["data_samples"]
    assert sample.scale_factor == (2, 2)
    boxes = torch.tensor([one[1:5] for one in objects], dtype=torch.float) - 1
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.tensor([0.6, 0.7, 0.8, 0.9])  # the difficult one comes first
    every = InstanceData(bboxes=boxes, labels=labels, scores=scores)
    sample.pred_instances = every[torch.tensor(found)]
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)["pascal_voc/mAP"] == pytest.approx(expected)


def test_a_class_that_no_object_has_is_an_error_in_training_and_said_in_a_test(write, log):
    given = write([("cat", 1, 1, 9, 9)], [("owl", 1, 1, 9, 9)])
    with pytest.raises(ValueError, match=r"train\.txt has no category 'cats': its categories are 'cat', 'owl'.*Fix"):
        DetrVocDataset(**given, **classes("cats", "owl"))
    dataset = DetrVocDataset(**given, **classes("cats", "owl"), test_mode=True)
    assert [instances(dataset, index) for index in range(2)] == [[], [(1, [0, 0, 8, 8], 0)]]
    assert any("no object is 'cats'" in said for said in log)


def test_classes_must_be_named(write):
    with pytest.raises(ValueError, match=r"train\.txt: .*Fix: metainfo=dict\(classes=\.\.\.\), of 'cat', 'owl'"):
        DetrVocDataset(**write([("cat", 1, 1, 9, 9), ("owl", 1, 1, 9, 9)]))


def test_missing_and_broken_pictures_are_named_or_left_out(write, tmp_path):
    given = write(*[[("cat", 1, 1, 9, 9)]] * 3) | classes("cat")
    (tmp_path / "JPEGImages" / "1.png").unlink()
    with pytest.raises(AnnotationError, match=r"train\.txt lists 3 images, of which 1 are missing: .*1\.\*\. Fix"):
        DetrVocDataset(**given)
    assert len(DetrVocDataset(**given, bad_images="skip_missing")) == 2
    broken = tmp_path / "JPEGImages" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    dataset = DetrVocDataset(**given, bad_images="skip_missing", pipeline=PIPELINE, test_mode=True)
    with pytest.raises(AnnotationError, match=r"2\.png, listed in .*train\.txt: cut off"):
        dataset[1]
    dataset = DetrVocDataset(**given, bad_images="skip")
    assert sorted(dataset.skipped_images.values()) == ["cut off", "missing"]


def test_other_folders_by_option(write, tmp_path):
    given = write([("cat", 1, 1, 9, 9)]) | classes("cat")
    (tmp_path / "JPEGImages").rename(tmp_path / "pictures")
    (tmp_path / "Annotations").rename(tmp_path / "boxes")
    dataset = DetrVocDataset(**given, data_prefix=dict(img="pictures", ann="boxes"), pipeline=PIPELINE)
    assert dataset[0]["inputs"].shape == (3, 30, 40)


def test_cocos_measures_of_the_truth_are_one_and_difficult_objects_do_not_count(write):
    objects = [("cat", 1, 1, 21, 21), ("owl", 21, 5, 37, 29, True)]
    given = write(objects)
    names = dict(ann_file=given["ann_file"], data_root=given["data_root"])
    dataset = DetrVocDataset(**given, **classes("cat", "owl"), test_mode=True)
    metric = METRICS.build(dict(type="DetrVocMetric", **names))
    guess = METRICS.build(dict(type="CommonPlacesVocMetric", train=dict(ann_file=given["ann_file"]), grid=2, **names))
    for one in (metric, guess):
        one.dataset_meta = dataset.metainfo
        boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
        found = InstanceData(bboxes=boxes, labels=torch.tensor([0]), scores=torch.tensor([0.9]))
        one.process({}, [dict(img_id="0", ori_shape=(30, 40), pred_instances=found)])
    assert metric.evaluate(1)["coco/bbox_mAP"] == pytest.approx(1)
    assert 0 <= guess.evaluate(1)["baseline_coco/bbox_mAP"] < 1
    assert guess.label_of == {0: 0, 1: 1}


def test_a_class_that_no_test_object_has_is_taken_by_the_metric_too(write):
    given = write([("owl", 1, 1, 21, 21)])
    dataset = DetrVocDataset(**given, **classes("cat", "owl"), test_mode=True)
    metric = METRICS.build(
        dict(type="DetrVocMetric", ann_file=given["ann_file"], data_root=given["data_root"], classwise=True)
    )
    metric.dataset_meta = dataset.metainfo
    found = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, 20.0, 20.0]] * 2), labels=torch.tensor([1, 0]), scores=torch.tensor([0.9, 0.8])
    )
    metric.process({}, [dict(img_id="0", ori_shape=(30, 40), pred_instances=found)])
    measured = metric.evaluate(1)
    assert measured["coco/bbox_mAP"] == measured["coco/bbox_mAP/owl"] == pytest.approx(1)
    assert measured["coco/bbox_mAP/cat"] == -1


def test_guessing_without_an_object_to_guess_by_names_the_list_and_the_classes(write):
    given = write([("owl", 1, 1, 21, 21)])
    names = dict(ann_file=given["ann_file"], data_root=given["data_root"])
    guess = METRICS.build(dict(type="CommonPlacesVocMetric", train=dict(ann_file=given["ann_file"]), **names))
    guess.dataset_meta = dict(classes=("cat", "dog"))
    with pytest.raises(
        ValueError, match=r"train\.txt: no object is 'cat' or 'dog', .*XML files have 'owl'\. Fix: train"
    ):
        guess.process({}, [dict(img_id="0", ori_shape=(30, 40))])
