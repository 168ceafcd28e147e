"""What mmdet leaves out without a word, or breaks on after hours, is an error before the first step."""

import json

import pytest
from PIL import Image

from mmrepro.datasets.coco_file import AnnotationError

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

from mmdet.datasets import CocoDataset

from mmrepro.detection import checked_coco
from mmrepro.detection.checked_coco import CheckedCocoDataset

SIZE = (40, 30)
CATEGORIES = [dict(id=3, name="cat"), dict(id=7, name="dog")]
BOX, SQUARE = [1, 1, 20, 20], [1, 1, 21, 1, 21, 21, 1, 21]
CLASSES = dict(classes=("cat", "dog"))
MASKS = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
BOXES = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]


def annotation(**changes):
    return dict(image_id=0, category_id=3, bbox=BOX, area=400, iscrowd=0, segmentation=[SQUARE]) | changes


@pytest.fixture
def written(tmp_path):
    """Write pictures, an annotation file with these annotations, and return the arguments of a data set."""

    def write(*annotations, images=2, categories=CATEGORIES):
        (tmp_path / "images").mkdir()
        listed = []
        for number in range(images):
            listed.append(dict(id=number, file_name=f"{number}.jpg", width=SIZE[0], height=SIZE[1]))
            Image.new("RGB", SIZE, (90, 20, 200)).save(tmp_path / "images" / f"{number}.jpg")
        numbered = [dict(id=number, **one) for number, one in enumerate(annotations, 1)]
        content = dict(images=listed, annotations=numbered, categories=categories)
        (tmp_path / "train.json").write_text(json.dumps(content))
        # Serialising collects garbage, a second each time.
        return dict(
            data_root=str(tmp_path),
            ann_file="train.json",
            data_prefix=dict(img="images/"),
            metainfo=CLASSES,
            pipeline=MASKS,
            serialize_data=False,
        )

    return write


def infos(dataset):
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def test_what_is_in_order_is_what_mmdet_reads(written):
    """Crowds, boxes of no size or beyond the image, a picture without objects, a category that is not wanted."""
    runs = dict(size=list(SIZE[::-1]), counts=[600, 600])
    given = written(
        annotation(),
        annotation(category_id=7, iscrowd=1, segmentation=runs),
        annotation(bbox=[5, 5, 0, 4], segmentation=[]),
        annotation(bbox=[30, 20, 90, 90], segmentation=[[30, 20, 41, 20, 41, 31]]),
        annotation(category_id=9, segmentation=None),
        images=2,
        categories=[*CATEGORIES, dict(id=9, name="owl")],
    )
    for settings in ({}, dict(filter_cfg=dict(filter_empty_gt=True, min_size=20))):
        ours, theirs = (kind(**given, **settings) for kind in (CheckedCocoDataset, CocoDataset))
        assert infos(ours) == infos(theirs)
    assert len(ours) == 1
    assert ours[0]["gt_masks"].masks.sum() > 0


def test_an_annotation_file_at_fault_is_named_with_its_entries(written):
    given = written(annotation(category_id=4), annotation(bbox=[1, 2]))
    with pytest.raises(AnnotationError, match=r"train\.json: .*not listed \(1: annotation 1 of.*four finite.*Fix: "):
        CheckedCocoDataset(**given)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cat", "hound"), r"train\.json has no category 'hound' of .*categories are 'cat', 'dog'\. Fix: metainfo="),
        (("Cat", "Dog"), r"no category 'Cat', 'Dog' of"),
        (("dog", "cat"), r"another order .*'dog', 'cat'.* Fix: metainfo=dict\(classes=\('cat', 'dog',\)\)"),
        (("cat", "cat"), r"another order .*classes=\('cat',\)"),
        ("cat", r"one text, 'cat'\. Fix: classes=\('cat',\)"),
    ],
)
def test_names_that_do_not_fit_the_file_are_refused(written, classes, said):
    with pytest.raises(AnnotationError, match=said):
        CheckedCocoDataset(**written(annotation()) | dict(metainfo=dict(classes=classes)))


def test_names_that_were_not_given_are_not_cocos(written):
    given = written(annotation(), categories=[dict(id=3, name="weed")])
    del given["metainfo"]
    with pytest.raises(AnnotationError, match=r"no category 'person', 'bicycle', .*\.\.\. of .*categories are 'weed'"):
        CheckedCocoDataset(**given)


def test_a_part_of_the_classes_may_be_wanted(written):
    given = written(annotation(), annotation(category_id=7)) | dict(metainfo=dict(classes=("dog",)))
    (labels, _) = [[one["bbox_label"] for one in info["instances"]] for info in infos(CheckedCocoDataset(**given))]
    assert labels == [0]


def test_two_categories_of_one_name_are_refused(written):
    """mmdet would give both a label, and shift the next."""
    given = written(annotation(), categories=[dict(id=0, name="cat"), *CATEGORIES])
    with pytest.raises(AnnotationError, match=r"train\.json: categories with the name of another \(1: id 0\)\. Fix"):
        CheckedCocoDataset(**given)


@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("key", ["area", "iscrowd"])
def test_numbers_that_mmdet_needs_are_asked_for(written, key, testing):
    without = annotation()
    del without[key]
    given = written(without, annotation()) | dict(test_mode=testing)
    if key == "iscrowd" and not testing:  # pycocotools asks where it evaluates
        assert len(CheckedCocoDataset(**given)) == 2
        return
    with pytest.raises(AnnotationError, match=rf"without {key}, which mmdet needs \(1: annotation 1 of 0\.jpg\)\. Fix"):
        CheckedCocoDataset(**given)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (None, "objects without a mask"),
        ([SQUARE[:-1]], "polygons with an odd number of coordinates"),
        ([SQUARE[:4]], "polygons with fewer than three corners"),
        ([[1, 1, 21, 1, 21, 2100]], "polygons far outside their image"),
        (dict(size=[40, 30], counts=[1200]), "run lengths of another size"),
    ],
)
def test_masks_at_fault_are_named_where_they_are_used(written, mask, said):
    given = written(annotation(), annotation(image_id=1, segmentation=mask))
    with pytest.raises(AnnotationError, match=rf"train\.json: {said}.*\(1: annotation 2 of 1\.jpg\)\. Fix: "):
        CheckedCocoDataset(**given)
    assert len(CheckedCocoDataset(**given | dict(pipeline=BOXES))) == 2


def test_masks_of_boxes_of_no_size_count_in_evaluation(written):
    given = written(annotation(), annotation(bbox=[5, 5, 0, 4], segmentation=[]))
    assert len(CheckedCocoDataset(**given)) == 2
    with pytest.raises(AnnotationError, match=r"objects without a mask \(1: annotation 2 of"):
        CheckedCocoDataset(**given, test_mode=True)


@pytest.mark.parametrize(
    ("annotations", "settings"),
    [
        ([], {}),
        ([annotation(iscrowd=1)], {}),
        ([annotation(bbox=[50, 50, 9, 9])], {}),
        ([annotation(bbox=[1, 1, 0.5, 9])], {}),
        ([annotation(category_id=7)], dict(metainfo=dict(classes=("cat",)))),
        ([annotation()], dict(filter_cfg=dict(min_size=31))),
    ],
)
def test_nothing_to_train_on_is_an_error(written, annotations, settings):
    given = written(*annotations) | settings
    with pytest.raises(AnnotationError, match=r"train\.json: no object can be trained on in . of 2 images.*Fix: "):
        CheckedCocoDataset(**given)
    assert len(CheckedCocoDataset(**given, test_mode=True)) == 2


def spoil(path, fault):
    if fault == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "no picture": b"<html>", "cut off": whole[: len(whole) // 2]}[fault])


@pytest.fixture
def log(monkeypatch):
    """What the data set says; mmengine's logger keeps the first standard output it saw."""
    said = []
    monkeypatch.setattr(checked_coco, "print_log", lambda message, logger, level=None: said.append(message))
    return said


@pytest.mark.parametrize("fault", ["missing", "empty", "no picture", "cut off"])
def test_a_picture_that_cannot_be_read_is_named(written, tmp_path, log, fault):
    given = written(*(annotation(image_id=number) for number in range(3)), images=3)
    spoil(tmp_path / "images" / "1.jpg", fault)
    said = rf"train\.json: 1 of 3 pictures cannot be read \(1 {fault}\): .*1\.jpg \({fault}\)"
    with pytest.raises(AnnotationError, match=said + r"\. Fix: .*data_prefix.*bad_images='skip'"):
        CheckedCocoDataset(**given)
    assert log == []
    kept = CheckedCocoDataset(**given, bad_images="skip", test_mode=True)
    assert [info["img_id"] for info in infos(kept)] == [0, 2]
    assert f"1.jpg ({fault}). They are left out. In the evaluation their objects count as not found" in log[0]


def test_pictures_that_are_not_trained_on_may_be_absent(written, tmp_path):
    given = written(annotation(image_id=1), images=3)
    spoil(tmp_path / "images" / "0.jpg", "missing")
    dataset = CheckedCocoDataset(**given, filter_cfg=dict(filter_empty_gt=True))
    assert [info["img_id"] for info in infos(dataset)] == [1]


def test_a_wrong_folder_is_an_error_whatever_is_skipped(written):
    given = written(annotation()) | dict(data_prefix=dict(img="pictures/"))
    with pytest.raises(AnnotationError, match=r"2 of 2 pictures cannot be read \(2 missing\)"):
        CheckedCocoDataset(**given, bad_images="skip")


def test_another_way_with_bad_pictures_is_refused(written):
    with pytest.raises(ValueError, match="got 'ignore'"):
        CheckedCocoDataset(**written(annotation()), bad_images="ignore")


def test_a_file_that_is_not_there_is_named(written):
    with pytest.raises(FileNotFoundError, match=r"val\.json"):
        CheckedCocoDataset(**written(annotation()) | dict(ann_file="val.json"))
