"""The data set: boxes, labels and images of the official code, faults of annotations, missing and broken pictures."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image

from mm_relation_detr.datasets import relation_coco
from mm_relation_detr.datasets.coco_file import AnnotationError
from mm_relation_detr.datasets.image_files import fault_of_file
from mm_relation_detr.datasets.objects365 import RelationObjects365Dataset
from mm_relation_detr.datasets.relation_coco import RelationCocoDataset, palette_of
from mm_relation_detr.datasets.sa_det_100k import TRUNCATED, UNREADABLE, SADet100kDataset

SIZE = (40, 30)
CATEGORIES = [dict(id=3, name="car"), dict(id=7, name="train")]


@pytest.fixture
def write(tmp_path):
    """Write pictures and an annotation file; boxes of each image as (category, box) or (category, box, crowd)."""

    def write(boxes, names=None, folder=tmp_path, categories=CATEGORIES):
        names = names or [f"{number}.png" for number in range(len(boxes))]
        images, annotations = [], []
        for number, (name, ones) in enumerate(zip(names, boxes, strict=True)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (90, 20, 200)).save(path)
            images.append(dict(id=number, file_name=name, width=SIZE[0], height=SIZE[1]))
            for category, box, *crowd in ones:
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=category,
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=int(bool(crowd)),
                    )
                )
        file = folder / "train.json"
        file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
        # Serialising collects garbage, a second each time.
        return dict(ann_file=str(file), data_prefix=dict(img=str(folder)), serialize_data=False)

    return write


@pytest.fixture
def log(monkeypatch):
    """What the data set says; mmengine's logger keeps the first standard output it saw."""
    said = []
    monkeypatch.setattr(relation_coco, "print_log", lambda message, logger: said.append(message))
    return said


def ids(dataset):
    return [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]


def boxes_of(dataset, index=0):
    return [(one["bbox_label"], one["bbox"]) for one in dataset.get_data_info(index)["instances"]]


def test_labels_are_raw_ids_and_names_have_their_places(write):
    dataset = RelationCocoDataset(**write([[(7, [1, 2, 3, 4])]]))
    assert boxes_of(dataset) == [(7, [1, 2, 4, 6])]
    assert dataset.metainfo["classes"] == ("none", "none", "none", "car", "none", "none", "none", "train")
    assert len(dataset.metainfo["palette"]) == 8


def test_contiguous_labels_by_option(write):
    dataset = RelationCocoDataset(**write([[(7, [1, 2, 3, 4])]]), labels="contiguous")
    assert boxes_of(dataset) == [(1, [1, 2, 4, 6])]
    assert dataset.metainfo["classes"] == ("car", "train")


def test_given_classes_are_kept_in_their_order_and_others_left_out(write):
    given = write([[(7, [1, 2, 3, 4]), (3, [0, 0, 5, 5])], [(3, [0, 0, 5, 5])]])
    both = RelationCocoDataset(**given, labels="contiguous", metainfo=dict(classes=("train", "car")))
    assert [label for label, _ in boxes_of(both)] == [0, 1]
    trains = RelationCocoDataset(**given, labels="contiguous", metainfo=dict(classes=("train",)))
    assert ids(trains) == [0]
    assert [label for label, _ in boxes_of(trains)] == [0]


def test_boxes_are_clipped_and_those_without_extent_and_crowds_dropped(write):
    boxes = [
        (3, [-5, -5, 10, 10]),
        (3, [35, 25, 50, 50]),
        (3, [5, 5, 0, 3]),
        (3, [5, 5, -2, 3]),
        (3, [60, 5, 4, 4]),
        (3, [0, 0, 9, 9], True),
    ]
    dataset = RelationCocoDataset(**write([boxes]))
    assert boxes_of(dataset) == [(3, [0, 0, 5, 5]), (3, [35, 25, 40, 30])]


def test_training_images_are_chosen_as_officially_and_testing_has_all(write):
    """By any box with two sides above a pixel, crowds included."""
    given = write(
        [
            [],
            [(3, [0, 0, 1, 9])],
            [(3, [0, 0, 1.5, 9])],
            [(3, [0, 0, 9, 9], True)],
            [(3, [0, 0, 1, 9]), (3, [0, 0, 4, 4])],
        ]
    )
    assert ids(RelationCocoDataset(**given)) == [2, 3, 4]
    assert ids(RelationCocoDataset(**given, test_mode=True)) == [0, 1, 2, 3, 4]
    assert ids(RelationCocoDataset(**given, filter_cfg=dict(filter_empty_gt=False))) == [0, 1, 2, 3, 4]
    assert boxes_of(RelationCocoDataset(**given), 1) == []


def test_what_is_changed_is_said_once(write, log):
    given = write([[(3, [-5, -5, 10, 10]), (3, [5, 5, 0, 3]), (3, [0, 0, 9, 9], True)], []])
    RelationCocoDataset(**given)
    (said,) = log
    for part in (
        "1 images without annotations",
        "1 crowds left out",
        "1 boxes without extent in their image dropped",
        "1 boxes clipped to their image",
    ):
        assert part in said


def test_nothing_to_train_on_is_an_error(write):
    with pytest.raises(AnnotationError, match=r"train\.json: none of 2 images can be trained on.*Fix"):
        RelationCocoDataset(**write([[], [(3, [0, 0, 1, 1])]]))


def test_a_missing_picture_is_an_error_that_names_it(write, tmp_path):
    given = write([[(3, [0, 0, 9, 9])]] * 3)
    (tmp_path / "1.png").unlink()
    with pytest.raises(AnnotationError, match=r"lists 3 images, of which 1 are missing: .*1\.png\. Fix: .*data_prefix"):
        RelationCocoDataset(**given)
    dataset = RelationCocoDataset(**given, bad_images="skip_missing")
    assert ids(dataset) == [0, 2]
    assert dataset.skipped_images == {str(tmp_path / "1.png"): "missing"}


def test_a_missing_folder_is_an_error_too(write, tmp_path):
    given = write([[(3, [0, 0, 9, 9])]])
    with pytest.raises(AnnotationError, match="1 are missing"):
        RelationCocoDataset(given["ann_file"], data_prefix=dict(img=str(tmp_path / "images")))


def test_another_way_with_bad_images_is_refused(write):
    with pytest.raises(ValueError, match="got 'ignore'"):
        RelationCocoDataset(**write([[(3, [0, 0, 9, 9])]]), bad_images="ignore")


def test_paths_are_below_the_root(write, tmp_path):
    write([[(3, [0, 0, 9, 9])]], names=["images/0.png"])
    paths = dict(data_root=str(tmp_path), data_prefix=dict(img="images/../"))
    dataset = RelationCocoDataset("train.json", **paths, serialize_data=False)
    assert Image.open(dataset.get_data_info(0)["img_path"]).size == SIZE


def test_broken_pictures_are_skipped_and_counted(write, tmp_path, log):
    names = ["good.jpg", "cut.jpg", "empty.jpg", "text.jpg", UNREADABLE[0], TRUNCATED[0], "cut.png"]
    given = write([[(1, [0, 0, 9, 9])]] * 7, names, categories=[dict(id=1, name="objects")])
    for name in ("cut.jpg", "cut.png"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    dataset = SADet100kDataset(**given)
    assert ids(dataset) == [0]
    assert {name: dataset.skipped_images[str(tmp_path / name)] for name in names[1:]} == {
        "cut.jpg": "cut off",
        "empty.jpg": "empty",
        "text.jpg": "no picture",
        UNREADABLE[0]: "known to be bad",
        TRUNCATED[0]: "known to be bad",
        "cut.png": "cut off",
    }
    assert "6 of 7 images are left out" in log[0]
    assert ids(SADet100kDataset(**given, known_bad_images=())) == [0, 4, 5]


def test_the_known_files_are_sixteen():
    assert len({*UNREADABLE, *TRUNCATED}) == 16


def test_other_formats_are_only_looked_at_for_emptiness(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    assert fault_of_file(path) is None
    path.write_bytes(b"")
    assert fault_of_file(path) == "empty"


def test_objects365_takes_the_last_folder_and_leaves_missing_pictures_out(write, tmp_path):
    names = ["images/v1/patch8/a.jpg", "images/v2/patch16/b.jpg"]
    given = write([[(7, [0, 0, 9, 9])]] * 2, names)
    for name in ("patch8", "patch16"):
        (tmp_path / name).mkdir()
    (tmp_path / names[0]).rename(tmp_path / "patch8" / "a.jpg")
    dataset = RelationObjects365Dataset(**given)
    assert ids(dataset) == [0]
    assert dataset.get_data_info(0)["img_path"] == str(tmp_path / "patch8" / "a.jpg")


def test_coco_keeps_its_colours_at_raw_places():
    names = ("none", "person", "none", "car", "wolf")
    coco = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    palette = palette_of(names)
    assert [palette[1], palette[3]] == [coco["person"], coco["car"]]
    assert all(np.array(colour).shape == (3,) for colour in palette)
    assert palette_of(names) == palette
