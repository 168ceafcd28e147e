"""Labels: raw category ids, contiguous ones, and what a list of classes may ask for."""

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

from mmrepro.detection.class_space import COCO_IDS, class_space, coco_names

CATEGORIES = [dict(id=7, name="cat"), dict(id=1, name="dog"), dict(id=3, name="owl")]


def test_raw_labels_are_the_category_ids_and_unused_ones_have_no_name():
    space = class_space(CATEGORIES)
    assert space.names == ("none", "dog", "none", "owl", "none", "none", "none", "cat")
    assert space.label_of == {1: 1, 3: 3, 7: 7}


def test_coco_has_91_scores():
    space = class_space([dict(id=number, name=f"class {number}") for number in COCO_IDS])
    assert len(space.names) == 91
    assert space.names.count("none") == 11


def test_contiguous_labels_follow_the_ids():
    space = class_space(CATEGORIES, "contiguous")
    assert space.names == ("dog", "owl", "cat")
    assert space.category_of == {0: 1, 1: 3, 2: 7}


def test_contiguous_labels_follow_the_given_classes():
    """mmdet keeps the file's order for labels and the given one for names, which shifts names silently."""
    space = class_space(CATEGORIES, "contiguous", ("cat", "dog"))
    assert space.names == ("cat", "dog")
    assert space.label_of == {7: 0, 1: 1}


def test_the_names_of_a_raw_space_select_the_same_space():
    raw = class_space(CATEGORIES, "raw", ("owl",))
    assert raw.names[3] == "owl"
    assert raw.names.count("none") == 7
    assert class_space(CATEGORIES, "raw", raw.names) == raw


def test_a_class_that_no_category_has_is_named_with_the_file():
    with pytest.raises(ValueError, match=r"train\.json has no category 'wolf': its categories are 'dog', 'owl', 'cat'"):
        class_space(CATEGORIES, classes=("dog", "wolf"), source="train.json")


def test_a_class_twice_is_refused():
    with pytest.raises(ValueError, match="'dog' twice"):
        class_space(CATEGORIES, classes=("dog", "dog"))


@pytest.mark.parametrize("labels", ["raw", "contiguous"])
def test_a_category_called_like_an_unused_id_is_refused(labels):
    with pytest.raises(ValueError, match=r"train\.json calls category 0 'none'.*Fix: rename"):
        class_space([dict(id=0, name="none"), dict(id=1, name="x")], labels, source="train.json")


def test_raw_ids_that_are_no_labels_are_refused():
    categories = [dict(id=10_000_000, name="cat")]
    with pytest.raises(ValueError, match=r"train\.json has category ids up to 10000000.*Fix: labels='contiguous'"):
        class_space(categories, source="train.json")
    assert class_space(categories, "contiguous").names == ("cat",)


def test_other_labels_are_refused():
    with pytest.raises(ValueError, match="'raw' or 'contiguous', got 'dense'"):
        class_space(CATEGORIES, "dense")


def test_cocos_names_stand_at_their_raw_ids_or_in_their_order():
    assert [coco_names(91)[number] for number in (0, 1, 12, 90)] == ["none", "person", "none", "toothbrush"]
    assert (coco_names(80)[0], coco_names(80)[79], coco_names(20)) == ("person", "toothbrush", None)
