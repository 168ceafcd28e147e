"""The data set: boxes, labels and images of the official code, faults of annotations, missing and broken pictures."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from PIL import Image
from pycocotools.mask import frPyObjects

from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.detection import detr_coco
from mmrepro.detection.detr_coco import DetrCocoDataset, classes_of_config, palette_of

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
    monkeypatch.setattr(detr_coco, "print_log", lambda message, logger, level=None: said.append(message))
    return said


def ids(dataset):
    return [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]


def boxes_of(dataset, index=0):
    return [(one["bbox_label"], one["bbox"]) for one in dataset.get_data_info(index)["instances"]]


def test_labels_are_raw_ids_and_names_have_their_places(write):
    dataset = DetrCocoDataset(**write([[(7, [1, 2, 3, 4])]]))
    assert boxes_of(dataset) == [(7, [1, 2, 4, 6])]
    assert dataset.metainfo["classes"] == ("none", "none", "none", "car", "none", "none", "none", "train")
    assert len(dataset.metainfo["palette"]) == 8
    assert dataset.metainfo["labels"] == "raw"


def test_contiguous_labels_by_option(write):
    dataset = DetrCocoDataset(**write([[(7, [1, 2, 3, 4])]]), labels="contiguous")
    assert boxes_of(dataset) == [(1, [1, 2, 4, 6])]
    assert dataset.metainfo["classes"] == ("car", "train")
    assert dataset.metainfo["labels"] == "contiguous"


def test_given_classes_are_kept_in_their_order_and_others_left_out(write):
    given = write([[(7, [1, 2, 3, 4]), (3, [0, 0, 5, 5])], [(3, [0, 0, 5, 5])]])
    both = DetrCocoDataset(**given, labels="contiguous", metainfo=dict(classes=("train", "car")))
    assert [label for label, _ in boxes_of(both)] == [0, 1]
    trains = DetrCocoDataset(**given, labels="contiguous", metainfo=dict(classes=("train",)))
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
    dataset = DetrCocoDataset(**write([boxes]))
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
    assert ids(DetrCocoDataset(**given)) == [2, 3, 4]
    assert ids(DetrCocoDataset(**given, test_mode=True)) == [0, 1, 2, 3, 4]
    assert ids(DetrCocoDataset(**given, filter_cfg=dict(filter_empty_gt=False))) == [0, 1, 2, 3, 4]
    assert boxes_of(DetrCocoDataset(**given), 1) == []


def test_what_is_changed_is_said_once(write, log):
    given = write([[(3, [-5, -5, 10, 10]), (3, [5, 5, 0, 3]), (3, [0, 0, 9, 9], True)], []])
    DetrCocoDataset(**given)
    (said,) = log
    for part in (
        "1 images without annotations",
        "1 crowds left out",
        "1 boxes without extent in their image dropped",
        "1 boxes clipped to their image",
    ):
        assert part in said


def test_backgrounds_alone_are_trained_on_where_all_images_are_kept(write):
    given = write([[], []])
    keep_all = dict(filter_empty_gt=False)
    assert ids(DetrCocoDataset(**given, filter_cfg=keep_all)) == [0, 1]
    with pytest.raises(AnnotationError, match=r"none of 2 images can be trained on.*filter_cfg's min_size"):
        DetrCocoDataset(**given, filter_cfg=keep_all | dict(min_size=31))


@pytest.mark.parametrize("boxes", [[], [(3, [0, 0, 1, 1])], [(3, [0, 0, 9, 9], True)], [(3, [50, 50, 9, 9])]])
def test_nothing_to_train_on_is_an_error(write, boxes):
    """No box, boxes below a pixel, crowds alone, boxes outside their images alone."""
    with pytest.raises(AnnotationError, match=r"train\.json: none of 2 images can be trained on.*Fix"):
        DetrCocoDataset(**write([[], boxes]))


def test_a_missing_picture_is_an_error_that_names_it(write, tmp_path):
    given = write([[(3, [0, 0, 9, 9])]] * 3)
    (tmp_path / "1.png").unlink()
    with pytest.raises(AnnotationError, match=r"lists 3 images, of which 1 are missing: .*1\.png\. Fix: .*data_prefix"):
        DetrCocoDataset(**given)
    dataset = DetrCocoDataset(**given, bad_images="skip_missing")
    assert ids(dataset) == [0, 2]
    assert dataset.skipped_images == {str(tmp_path / "1.png"): "missing"}


def test_a_missing_folder_is_an_error_too(write, tmp_path):
    given = write([[(3, [0, 0, 9, 9])]])
    with pytest.raises(AnnotationError, match="1 are missing"):
        DetrCocoDataset(given["ann_file"], data_prefix=dict(img=str(tmp_path / "images")))


@pytest.mark.parametrize("way", ["skip_missing", "skip"])
@pytest.mark.parametrize("testing", [False, True])
def test_a_wrong_folder_is_an_error_where_single_pictures_may_be_missing(write, tmp_path, way, testing):
    given = write([[(3, [0, 0, 9, 9])]] * 3) | dict(data_prefix=dict(img=str(tmp_path / "images")))
    with pytest.raises(AnnotationError, match=r"lists 3 images, of which 3 are missing.*Fix"):
        DetrCocoDataset(**given, bad_images=way, test_mode=testing)


def test_what_left_out_pictures_mean_for_an_evaluation_is_said(write, tmp_path, log):
    given = write([[(3, [0, 0, 9, 9])]] * 2)
    (tmp_path / "1.png").unlink()
    DetrCocoDataset(**given, bad_images="skip", test_mode=True)
    assert "1 of 2 images are left out" in log[0]
    assert log[0].endswith("In the evaluation their objects count as not found")


def test_another_way_with_bad_images_is_refused(write):
    with pytest.raises(ValueError, match="got 'ignore'"):
        DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]]), bad_images="ignore")


def test_paths_are_below_the_root(write, tmp_path):
    write([[(3, [0, 0, 9, 9])]], names=["images/0.png"])
    paths = dict(data_root=str(tmp_path), data_prefix=dict(img="images/../"))
    dataset = DetrCocoDataset("train.json", **paths, serialize_data=False)
    assert Image.open(dataset.get_data_info(0)["img_path"]).size == SIZE


def test_broken_pictures_are_skipped_and_counted(write, tmp_path, log):
    names = ["good.jpg", "cut.jpg", "empty.jpg", "text.jpg", "known.jpg", "cut.png"]
    given = write([[(3, [0, 0, 9, 9])]] * 6, names)
    for name in ("cut.jpg", "cut.png"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    dataset = DetrCocoDataset(**given, bad_images="skip", known_bad_images=["known.jpg"])
    assert ids(dataset) == [0]
    assert {name: dataset.skipped_images[str(tmp_path / name)] for name in names[1:]} == {
        "cut.jpg": "cut off",
        "empty.jpg": "empty",
        "text.jpg": "no picture",
        "known.jpg": "known to be bad",
        "cut.png": "cut off",
    }
    assert "5 of 6 images are left out" in log[0]
    assert ids(DetrCocoDataset(**given, bad_images="skip")) == [0, 4]


PIPELINE = [
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


def spoil(path, fault):
    """Spoil a JPEG file after the data set was read."""
    whole = path.read_bytes()
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "no picture": b"<html>", "cut off": whole[: len(whole) // 2]}[fault])


FAULTS = ["missing", "empty", "no picture", "cut off"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_picture_that_breaks_later_is_named(write, tmp_path, fault):
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]], ["a.jpg"]), pipeline=PIPELINE)
    spoil(tmp_path / "a.jpg", fault)
    with pytest.raises(AnnotationError, match=rf"a\.jpg, listed in .*train\.json: {fault}\. Fix: .*known_bad_images"):
        dataset[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_training_goes_on_without_a_picture_that_breaks_later_where_asked(write, tmp_path, log, fault):
    given = write([[(3, [0, 0, 9, 9])]] * 2, ["a.jpg", "b.jpg"])
    settings = dict(pipeline=PIPELINE, bad_images="skip_missing")
    dataset, evaluated = (DetrCocoDataset(**given, **settings, test_mode=testing) for testing in (False, True))
    spoil(tmp_path / "a.jpg", fault)
    assert [dataset[0]["data_samples"].img_path for _ in range(3)] == [str(tmp_path / "b.jpg")] * 3
    assert dataset.skipped_images == {str(tmp_path / "a.jpg"): fault}
    (said,) = log
    assert f"a.jpg, listed in {given['ann_file']}, is left out: {fault}" in said
    with pytest.raises(AnnotationError, match=r"a\.jpg"):
        evaluated[0]


def test_a_picture_that_is_damaged_inside_is_named(write, tmp_path):
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]], ["a.png"]), pipeline=PIPELINE)
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes()[:16] + bytes(40) + path.read_bytes()[56:])
    with pytest.raises(AnnotationError, match=r"a\.png, listed in .*: cannot be decoded"):
        dataset[0]


def test_a_fault_of_the_pipeline_is_not_the_pictures(write):
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]]))
    dataset.pipeline = lambda entry: entry["absent"]
    with pytest.raises(KeyError, match="absent"):
        dataset[0]


def test_where_a_transform_leaves_nothing_another_picture_is_drawn(write):
    """As mmdet's RandomCrop and FilterAnnotations do."""
    given = write([[(3, [0, 0, 9, 9])], [(3, [0, 0, 20, 20])]], ["a.jpg", "b.jpg"])
    steps = [*PIPELINE[:2], dict(type="FilterAnnotations", min_gt_bbox_wh=(10, 10)), PIPELINE[2]]
    dataset = DetrCocoDataset(**given, pipeline=steps)
    assert dataset.prepare_data(0) is None
    assert dataset[0]["data_samples"].img_path.endswith("b.jpg")
    assert dataset.skipped_images == {}


def test_samples_without_anything_left_do_not_count_as_usable(write, tmp_path):
    given = write([[(3, [0, 0, 9, 9])]] * 2, ["a.jpg", "b.jpg"])
    steps = [*PIPELINE[:2], dict(type="FilterAnnotations", min_gt_bbox_wh=(10, 10)), PIPELINE[2]]
    dataset = DetrCocoDataset(**given, pipeline=steps, bad_images="skip_missing")
    assert dataset.prepare_data(0) is None
    for name in ("a.jpg", "b.jpg"):
        spoil(tmp_path / name, "empty")
    dataset._looked_at.clear()
    assert dataset.prepare_data(0) is None
    with pytest.raises(AnnotationError, match="none of the 2 pictures loaded so far"):
        dataset.prepare_data(1)


@pytest.mark.parametrize(("size", "said"), [((20, 15), "20 x 15 pixels"), (SIZE[::-1], "color_type='color'")])
def test_a_picture_of_another_size_than_annotated_is_named(write, tmp_path, size, said):
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]], ["a.jpg"]), pipeline=PIPELINE)
    Image.new("RGB", size).save(tmp_path / "a.jpg")
    with pytest.raises(AnnotationError, match=r"a\.jpg, listed in .*its annotations say 40 x 30.*Fix: ") as found:
        dataset[0]
    assert said in str(found.value)


def test_pictures_that_all_have_another_size_end_a_training_with_the_cause(write, tmp_path, log):
    """mmengine loads a thousand, and then says: check your image path and pipeline."""
    given = write([[(3, [0, 0, 9, 9])]] * 30, [f"{number}.jpg" for number in range(30)])
    for number in range(30):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{number}.jpg")
    dataset = DetrCocoDataset(**given, pipeline=PIPELINE, bad_images="skip_missing")
    said = r"none of the 20 pictures loaded so far.*jpg: it has 30 x 40 pixels, its annotations say 40 x 30"
    for number in range(19):
        dataset[number]
    with pytest.raises(AnnotationError, match=said):
        dataset[19]
    assert len(log) == 20


def test_a_file_in_order_is_looked_at_once(write, tmp_path, monkeypatch):
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]], ["a.jpg"]), pipeline=PIPELINE)
    looked_at = []
    monkeypatch.setattr(detr_coco, "fault_of_file", lambda path: looked_at.append(path))
    for _ in range(3):
        dataset[0]
    assert looked_at == [str(tmp_path / "a.jpg")]


def test_unusual_pictures_are_read_as_colours_and_not_turned(write, tmp_path):
    """Grey, 16 bits, CMYK, with transparency, a palette, and turned by EXIF, of which the last stays as stored."""
    names = ["grey.jpg", "deep.png", "cmyk.jpg", "alpha.png", "palette.png", "turned.jpg", "webp.jpg"]
    dataset = DetrCocoDataset(**write([[(3, [0, 0, 9, 9])]] * 7, names), pipeline=PIPELINE)
    exif = Image.Exif()
    exif[0x0112] = 6
    red = Image.new("RGB", SIZE, (200, 0, 0))
    red.convert("L").save(tmp_path / "grey.jpg")
    Image.fromarray(np.full(SIZE[::-1], 60 * 256, np.uint16)).save(tmp_path / "deep.png")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg")
    red.convert("RGBA").save(tmp_path / "alpha.png")
    red.convert("P").save(tmp_path / "palette.png")
    red.save(tmp_path / "turned.jpg", exif=exif)
    red.save(tmp_path / "webp.jpg", format="WEBP")
    means = {name: dataset[number]["inputs"].float().mean((1, 2)) for number, name in enumerate(names)}
    assert all(dataset[number]["inputs"].shape == (3, *SIZE[::-1]) for number in range(len(names)))
    expected = {name: [60, 60, 60] if name in ("grey.jpg", "deep.png") else [0, 0, 200] for name in names}
    for name, mean in means.items():
        assert mean.tolist() == pytest.approx(expected[name], abs=8), name


def test_coco_keeps_its_colours_at_raw_places():
    names = ("none", "person", "none", "car", "wolf")
    coco = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    palette = palette_of(names)
    assert [palette[1], palette[3]] == [coco["person"], coco["car"]]
    assert all(np.array(colour).shape == (3,) for colour in palette)
    assert palette_of(names) == palette


WITH_MASKS = [PIPELINE[0], dict(type="LoadAnnotations", with_bbox=True, with_mask=True), PIPELINE[2]]
SQUARE = [4.0, 5.0, 14.0, 5.0, 14.0, 15.0, 4.0, 15.0]
LEFT_EDGE = dict(size=[SIZE[1], SIZE[0]], counts=[0, 60, 1140])  # the first two columns


def with_masks(given, *masks):
    """Give the objects of a file their masks; None leaves one without."""
    content = json.loads(Path(given["ann_file"]).read_text())
    for annotation, mask in zip(content["annotations"], masks, strict=True):
        if mask is not None:
            annotation["segmentation"] = mask
    Path(given["ann_file"]).write_text(json.dumps(content))
    return given


def test_masks_are_polygons_joined_or_run_lengths_at_the_pictures_size(write):
    """A crowd's mask, and a box without extent, are left out with their masks."""
    boxes = [(3, [4, 5, 26, 10]), (3, [0, 0, 2, 30]), (7, [0, 0, 9, 9], True), (7, [5, 5, 0, 9])]
    second = [20.0, 5.0, 30.0, 5.0, 30.0, 15.0, 20.0, 15.0]
    given = with_masks(write([boxes]), [SQUARE, second], LEFT_EDGE, LEFT_EDGE, [[5, 5, 5, 14, 5.1, 14]])
    instances = DetrCocoDataset(**given, pipeline=WITH_MASKS)[0]["data_samples"].gt_instances
    masks = instances.masks.masks
    assert masks.shape == (2, SIZE[1], SIZE[0])
    assert masks.sum((1, 2)).tolist() == [200, 60]
    assert masks[0, 5:15, 20:30].all()
    assert masks[1, :, :2].all()


def test_run_lengths_as_pycocotools_writes_them_are_taken(write):
    packed = frPyObjects(LEFT_EDGE, *LEFT_EDGE["size"])
    runs = dict(size=LEFT_EDGE["size"], counts=packed["counts"].decode())
    given = with_masks(write([[(3, [0, 0, 2, 30])]]), runs)
    instances = DetrCocoDataset(**given, pipeline=WITH_MASKS)[0]["data_samples"].gt_instances
    assert instances.masks.masks.sum() == 60


def test_boxes_alone_need_no_masks_and_masks_that_nobody_loads_are_not_looked_at(write):
    given = with_masks(write([[(3, [4, 5, 10, 10])]]), [])
    assert "mask" not in DetrCocoDataset(**given, pipeline=PIPELINE).get_data_info(0)["instances"][0]


def test_a_file_of_boxes_alone_is_refused_with_the_setting(write):
    given = write([[(3, [4, 5, 10, 10])]])
    with pytest.raises(AnnotationError, match=r"train\.json has boxes alone: none of 1 objects.*with_mask=False"):
        DetrCocoDataset(**given, pipeline=WITH_MASKS)


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (None, "objects without a mask"),
        ([], "objects without a mask"),
        ([[]], "fewer than three corners"),
        ([SQUARE[:4]], "fewer than three corners"),
        (dict(size=[9, 9], counts=[81]), "run lengths of another size"),
        (dict(size=[30, 40], counts=[1200]), "run lengths without a pixel"),
        (dict(size=[30, 40], counts=[1140, 60]), "masks outside their boxes"),
        ([[30.0, 20.0, 38.0, 20.0, 38.0, 28.0]], "masks outside their boxes"),
        ([[300.0, 20.0, 380.0, 20.0, 380.0, 28.0]], "polygons far outside their image"),
    ],
)
def test_a_mask_that_is_none_or_not_its_boxs_is_named(write, mask, fault):
    given = with_masks(write([[(3, [4, 5, 10, 10])], [(3, [4, 5, 10, 10])]]), [SQUARE], mask)
    with pytest.raises(AnnotationError, match=rf"train\.json: .*{fault}.*1: annotation 2 of 1\.png"):
        DetrCocoDataset(**given, pipeline=WITH_MASKS)


def test_masks_of_classes_that_are_not_wanted_are_not_looked_at(write):
    given = with_masks(write([[(3, [4, 5, 10, 10]), (7, [4, 5, 10, 10])]]), [SQUARE], None)
    cars = DetrCocoDataset(**given, pipeline=WITH_MASKS, labels="contiguous", metainfo=dict(classes=("car",)))
    assert len(cars[0]["data_samples"].gt_instances.masks) == 1


@DATASETS.register_module()
class DetrCocoOfOthers(DetrCocoDataset):
    pass


@DATASETS.register_module()
class DetrCocoOfDiscs(DetrCocoDataset):
    METAINFO: ClassVar[dict] = dict(classes=("disc", "star"))


@pytest.mark.parametrize(
    ("dataset", "outputs", "first"),
    [
        (dict(type="DetrCocoDataset"), 91, ("none", "person")),
        (dict(type="mmdet.CocoDataset"), 91, ("none", "person")),
        (dict(type="CocoDataset"), 80, ("person", "bicycle")),
        (dict(type=DetrCocoDataset), 91, ("none", "person")),
        (dict(type=DetrCocoOfDiscs), 2, ("disc", "star")),
        (dict(type="DetrCocoDataset"), 12, None),
        (dict(type="DetrCocoOfOthers"), 91, None),
        (dict(type="DetrCocoOfDiscs"), 2, ("disc", "star")),
        (dict(type="DetrCocoOfDiscs"), 3, None),
        (dict(type="DetrCocoOfDiscs", metainfo=dict(classes=("a", "b"))), 2, ("a", "b")),
    ],
)
def test_a_detectors_classes_are_what_its_data_say_or_cocos(dataset, outputs, first):
    found = classes_of_config(Config(dict(test_dataloader=dict(dataset=dataset))), outputs)
    assert (None if found is None else tuple(found[:2])) == first
