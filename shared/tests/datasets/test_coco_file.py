"""Annotation files at fault are refused with the file, the entries and the fix."""

import json

import pytest

from mmrepro.datasets.coco_file import AnnotationError, checked, read_coco
from mmrepro.engine.errors import in_one_line


def content(**changes):
    return (
        dict(
            images=[dict(id=4, file_name="b.png", width=8, height=6), dict(id=2, file_name="a.png", width=8, height=6)],
            categories=[dict(id=3, name="owl"), dict(id=1, name="dog")],
            annotations=[
                dict(id=1, image_id=4, category_id=3, bbox=[0, 0, 2, 2]),
                dict(id=2, image_id=4, category_id=1, bbox=[1, 1, 2, 2]),
            ],
        )
        | changes
    )


def annotation(**changes):
    return [dict(id=1, image_id=4, category_id=3, bbox=[0, 0, 2, 2]) | changes]


def test_lists_are_sorted_by_id_and_annotations_keep_their_order(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content()))
    file = read_coco(path)
    assert [image["id"] for image in file.images] == [2, 4]
    assert [category["id"] for category in file.categories] == [1, 3]
    assert {image: [one["id"] for one in ones] for image, ones in file.annotations.items()} == {4: [1, 2]}


def test_a_file_without_annotations_is_in_order():
    given = content()
    del given["annotations"]
    assert checked(given, "test-dev.json").annotations == {}


def test_an_area_or_crowd_flag_of_null_is_left_out():
    file = checked(content(annotations=annotation(area=None, iscrowd=None)), "a.json")
    assert file.annotations == {4: annotation()}


@pytest.mark.parametrize(("used", "kept"), [([0], 0), ([2], 2), ([], 2)])
def test_of_categories_with_one_name_the_one_in_use_counts(used, kept):
    categories = [dict(id=0, name="cells", supercategory="none"), dict(id=2, name="cells", supercategory="cells")]
    annotations = [dict(id=number, image_id=4, category_id=number, bbox=[0, 0, 2, 2]) for number in used]
    file = checked(content(categories=categories, annotations=annotations), "a.json")
    assert [category["id"] for category in file.categories] == [kept]


@pytest.mark.parametrize("box", [[0, 0, 0, 2], [5, 5, -3, 2], [-9, -9, 50, 50]])
def test_boxes_that_the_reader_drops_or_clips_are_in_order(box):
    assert checked(content(annotations=annotation(bbox=box)), "a.json").annotations[4]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(annotations=annotation(category_id=9)), r"category that is not listed \(1: annotation 1 of category 9\)"),
        (dict(annotations=annotation(image_id=9)), r"image that is not listed \(1: annotation 1 of image 9\)"),
        (
            dict(annotations=annotation(bbox=[1, 2, 3])),
            r"four finite numbers x, y, w, h \(1: annotation 1: \[1, 2, 3\]",
        ),
        (dict(annotations=annotation(bbox=[1, 2, float("nan"), 3])), "four finite numbers"),
        (dict(annotations=annotation() * 2), r"annotation ids that occur twice \(1: 1\)"),
        (dict(annotations=[dict(id=5, image_id=4)]), r"annotations without category_id and bbox \(1: annotation 5\)"),
        (dict(images=content()["images"] * 2), r"image ids that occur twice \(2: 4, 2\)"),
        (dict(images=[dict(id=4, file_name="b.png", width=8, height=0)]), r"no positive number \(1: b\.png\)"),
        (dict(images=[dict(id=4)]), r"images without file_name and width and height \(1: number 0\)"),
        (dict(categories=content()["categories"] * 2), r"category ids that occur twice \(2: 3, 1\)"),
        (dict(categories=[dict(id=3, name="owl"), dict(id=1, name="owl")]), r"names that occur twice \(1: 'owl'\)"),
        (dict(categories=[dict(id="3", name="owl")]), "no whole numbers from 0"),
        (dict(categories=[dict(id=3, name=None)]), r"names that are no text \(1: None of id 3\)"),
        (dict(images=[dict(id=[4], file_name="b.png", width=8, height=6)]), r"nor texts \(1: \[4\]\)"),
        (
            dict(images=[dict(id=one, file_name="b.png", width=8, height=6) for one in ("8", 4, "5", "7", "6")]),
            r"texts beside others that are numbers \(4: '8', '5', '7', \.\.\.\)",
        ),
        (dict(images=[dict(id=4, file_name=5, width=8, height=6)]), r"file_name is no text \(1: image 4\)"),
        (dict(annotations=annotation(image_id=[4])), r"whose image_id is neither .* \(1: number 0\)"),
        (dict(annotations=annotation(category_id={})), r"whose category_id is neither .* \(1: number 0\)"),
        (dict(annotations=annotation(area="9")), r"area or iscrowd is no number \(1: annotation 1\)"),
        (dict(images={}), "no list of objects as images, so it is no COCO annotation file"),
        (dict(categories=["owl"]), "no list of objects as categories"),
        (dict(annotations=None), "no list of objects as annotations"),
    ],
)
def test_a_fault_is_named(changes, said):
    with pytest.raises(AnnotationError, match=rf"a\.json.*{said}.*Fix: "):
        checked(content(**changes), "a.json")


def test_all_kinds_of_faults_are_counted_and_the_first_are_named():
    faulty = [dict(id=number, image_id=9, category_id=9, bbox=[0, 0, 1, 1]) for number in range(1, 6)]
    with pytest.raises(AnnotationError, match=r"image 9, \.\.\.\); .*category that is not listed \(5: "):
        checked(content(annotations=faulty), "a.json")


def test_results_of_a_detector_are_no_annotations():
    with pytest.raises(AnnotationError, match=r"images and categories and annotations.*results of a detector"):
        checked([dict(image_id=1)], "results.json")


@pytest.mark.parametrize(("written", "said"), [(b"{", "no JSON"), (b"", "no JSON"), (b"\xff\xfe\x00", "no text")])
def test_what_is_no_json_is_refused(tmp_path, written, said):
    path = tmp_path / "a.json"
    path.write_bytes(written)
    with pytest.raises(AnnotationError, match=rf"a\.json is {said}.*Fix"):
        read_coco(path)


def test_evaluation_needs_no_pictures():
    assert checked(content(images=[dict(id=4)]), "a.json", pictures=False).images == [dict(id=4)]


def test_the_entry_points_say_it_in_one_line():
    with pytest.raises(SystemExit, match=r"^error: a\.json has no list of objects as images"), in_one_line():
        checked({}, "a.json")
