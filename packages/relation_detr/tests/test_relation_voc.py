"""VOC's format as a data set: classes, boxes, difficult objects and pictures that are missing, and real files."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image

from mm_relation_detr.datasets import relation_coco, relation_voc
from mm_relation_detr.datasets.relation_voc import RelationVocDataset
from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.testing.configs import load_config
from mmrepro.testing.data import require_data

OWN_VOC = Path(__file__).parents[1] / "configs" / "relation_detr" / "relation-detr_own-voc.py"
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
    for module in (relation_coco, relation_voc):
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
    dataset = RelationVocDataset(**write(objects, []), **classes("owl", "cat"))
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
    assert len(RelationVocDataset(**write(objects, []), **classes("owl", "cat"), test_mode=True)) == 2


def test_difficult_objects_are_neither_trained_on_nor_counted(write):
    given = write([("cat", 1, 1, 9, 9), ("cat", 11, 11, 19, 19, True)])
    dataset = RelationVocDataset(**given, **classes("cat"), pipeline=PIPELINE)
    assert [flag for *_, flag in instances(dataset)] == [0, 1]
    sample = dataset[0]["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 0, 8, 8]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[10, 10, 18, 18]]
    with pytest.raises(AnnotationError, match="none of 1 images can be trained on"):
        RelationVocDataset(**write([("cat", 11, 11, 19, 19, True)]), **classes("cat"))


@pytest.mark.parametrize(("found", "expected"), [((0, 1, 2), 1), ((0, 1, 2, 3), 1), ((0, 1), 0.5), ((0, 2, 3), 0.75)])
def test_the_templates_metric_counts_neither_found_nor_missed_difficult_objects(write, found, expected):
    """Of perfect detections: two cats and an owl, and an owl that is difficult."""
    objects = [("cat", 1, 1, 9, 9), ("cat", 21, 1, 33, 12), ("owl", 1, 15, 20, 29), ("owl", 25, 15, 39, 29, True)]
    template = load_config(OWN_VOC)
    settings = {**template.val_dataloader.dataset, **write(objects), **classes("cat", "owl")}
    dataset, metric = DATASETS.build(settings), METRICS.build(template.val_evaluator)
    sample = dataset[0]["data_samples"]
    assert sample.scale_factor == (1066 / 40, 800 / 30)  # yet boxes are compared in the stored picture
    boxes = torch.tensor([one[1:5] for one in objects], dtype=torch.float) - 1
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.tensor([0.6, 0.7, 0.8, 0.9])  # the difficult one comes first
    every = InstanceData(bboxes=boxes, labels=labels, scores=scores)
    sample.pred_instances = every[torch.tensor(found)]
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)[template.default_hooks.checkpoint.save_best] == pytest.approx(expected)


def test_a_class_that_no_object_has_is_an_error_in_training_and_said_in_a_test(write, log):
    given = write([("cat", 1, 1, 9, 9)], [("owl", 1, 1, 9, 9)])
    with pytest.raises(ValueError, match=r"train\.txt has no category 'cats': its categories are 'cat', 'owl'.*Fix"):
        RelationVocDataset(**given, **classes("cats", "owl"))
    dataset = RelationVocDataset(**given, **classes("cats", "owl"), test_mode=True)
    assert [instances(dataset, index) for index in range(2)] == [[], [(1, [0, 0, 8, 8], 0)]]
    assert any("no object is 'cats'" in said for said in log)


def test_classes_must_be_named(write):
    with pytest.raises(ValueError, match=r"train\.txt: .*Fix: metainfo=dict\(classes=\.\.\.\), of 'cat', 'owl'"):
        RelationVocDataset(**write([("cat", 1, 1, 9, 9), ("owl", 1, 1, 9, 9)]))


def test_missing_and_broken_pictures_are_named_or_left_out(write, tmp_path):
    given = write(*[[("cat", 1, 1, 9, 9)]] * 3) | classes("cat")
    (tmp_path / "JPEGImages" / "1.png").unlink()
    with pytest.raises(AnnotationError, match=r"train\.txt lists 3 images, of which 1 are missing: .*1\.\*\. Fix"):
        RelationVocDataset(**given)
    assert len(RelationVocDataset(**given, bad_images="skip_missing")) == 2
    broken = tmp_path / "JPEGImages" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    dataset = RelationVocDataset(**given, bad_images="skip_missing", pipeline=PIPELINE, test_mode=True)
    with pytest.raises(AnnotationError, match=r"2\.png, listed in .*train\.txt: cut off"):
        dataset[1]
    dataset = RelationVocDataset(**given, bad_images="skip")
    assert sorted(dataset.skipped_images.values()) == ["cut off", "missing"]


def test_other_folders_by_option(write, tmp_path):
    given = write([("cat", 1, 1, 9, 9)]) | classes("cat")
    (tmp_path / "JPEGImages").rename(tmp_path / "pictures")
    (tmp_path / "Annotations").rename(tmp_path / "boxes")
    dataset = RelationVocDataset(**given, data_prefix=dict(img="pictures", ann="boxes"), pipeline=PIPELINE)
    assert dataset[0]["inputs"].shape == (3, 30, 40)


def test_a_small_detector_learns_a_batch_of_blood_cells():
    """The real files as the template reads them, the quickstart's small model, a few steps on one batch."""
    require_data("bccd")
    template = load_config(OWN_VOC)
    small = copy.deepcopy(load_config(OWN_VOC.with_name("relation-detr_r18_1xb4-12e_shapes.py")).model)
    small.decoder.num_layers = 2
    small.bbox_head.num_classes = template.model.bbox_head.num_classes
    pictures = dict(template.train_dataloader.dataset, serialize_data=False)
    pictures["pipeline"] = [*PIPELINE[:2], dict(type="TorchResize", scale=96), PIPELINE[2]]
    sampler = dict(type="DefaultSampler", shuffle=False)
    loader = Runner.build_dataloader(dict(dataset=pictures, batch_size=2, num_workers=0, sampler=sampler))
    tested = DATASETS.build(dict(template.val_dataloader.dataset, serialize_data=False))
    for dataset in (loader.dataset, tested):
        assert len(dataset)
        assert dataset.metainfo["classes"] == ("RBC", "WBC", "Platelets")
        assert all(dataset.get_data_info(index)["instances"] for index in range(len(dataset)))
    assert len(tested[0]["data_samples"].gt_instances) == len(tested.get_data_info(0)["instances"])

    torch.manual_seed(0)
    model = MODELS.build(small)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    batch = model.data_preprocessor(next(iter(loader)), training=True)
    losses = []
    for _ in range(4):
        losses.append(sum(model(**batch, mode="loss").values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
