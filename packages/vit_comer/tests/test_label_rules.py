"""What label values mean: those outside the classes are named, and mistakes about the zero label are found."""

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mm_vit_comer.datasets.label_rules import LabelError, LabelRules, require_labels
from mm_vit_comer.datasets.label_survey import Survey

CLASSES = ("road", "car", "tree")


def found(*values, faults=()):
    """Return a survey of a file per value."""
    one = Survey()
    for value in values:
        one.add(f"{value}.png", np.bincount([value] * 10, minlength=256))
    one.faults.update(faults)
    return one


def test_labels_that_fit_pass_without_a_word():
    assert require_labels(found(0, 1, 2, 255), LabelRules(CLASSES), "training data") == []
    assert require_labels(found(0, 1, 2, 3, 255), LabelRules(CLASSES, reduce_zero_label=True), "training data") == []


@pytest.mark.parametrize("reduce_zero_label", [False, True])
@pytest.mark.parametrize("label_map", [None, {0: 0, 1: 255, 2: 1, 3: 2}])
def test_values_are_read_as_mmsegmentation_reads_them(tmp_path, reduce_zero_label, label_map):
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "all.png")
    results = dict(
        seg_map_path=str(tmp_path / "all.png"),
        reduce_zero_label=reduce_zero_label,
        label_map=label_map,
        seg_fields=[],
    )
    loaded = LoadAnnotations()(results)["gt_seg_map"].ravel()
    np.testing.assert_array_equal(LabelRules(CLASSES, reduce_zero_label, label_map).loaded(), loaded)


def test_values_outside_the_classes_are_named_with_a_file():
    with pytest.raises(
        LabelError, match=r"training data: .*3 classes, which are 0 to 2, with 255(.|\n)*7\.png: 7, in 10"
    ):
        require_labels(found(0, 1, 2, 7), LabelRules(CLASSES), "training data")
    with pytest.raises(LabelError, match="and 7 other values"):
        require_labels(found(*range(15)), LabelRules(CLASSES), "training data")
    with pytest.raises(LabelError, match="1 to 3, with 0 and 255 for nothing"):
        require_labels(found(4), LabelRules(CLASSES, reduce_zero_label=True), "training data")


def test_what_the_loss_leaves_out_is_no_fault():
    require_labels(found(0, 1, 2, 11), LabelRules(CLASSES, ignore_index=11), "training data")
    with pytest.raises(LabelError, match=r"255\.png: 255"):  # a loss that ignores 11 takes 255 for a class
        require_labels(found(0, 255), LabelRules(CLASSES, ignore_index=11), "training data")


def test_classes_that_are_left_out_are_in_order_and_further_ones_are_not():
    rules = LabelRules(("road", "tree"), label_map={0: 0, 1: 255, 2: 1})
    assert require_labels(found(0, 1, 2), rules, "training data") == []
    with pytest.raises(LabelError, match="outside the 3 classes"):
        require_labels(found(0, 1, 2, 3), rules, "training data")


def test_files_counted_from_one_without_reduction_say_so():
    with pytest.raises(LabelError, match=r"3\.png(.|\n)*counted from 1, reduce_zero_label=True \(0 then is no class"):
        require_labels(found(0, 1, 2, 3), LabelRules(CLASSES), "training data")
    with pytest.raises(LabelError, match=r"reduce_zero_label=True \(0 does not occur"):
        require_labels(found(1, 2, 3), LabelRules(CLASSES), "training data")
    (doubt, absent) = require_labels(found(1, 2), LabelRules(CLASSES), "training data")
    assert "label 0 does not occur" in doubt
    assert "no pixel is of 1 of the 3 classes: road" in absent


def test_files_counted_from_zero_with_reduction_are_an_error_where_there_is_no_doubt():
    rules = LabelRules(CLASSES, reduce_zero_label=True)
    with pytest.raises(LabelError, match=r"label 0, which is 33% of all pixels(.|\n)*Fix: reduce_zero_label=False"):
        require_labels(found(0, 1, 2), rules, "training data")
    with pytest.raises(LabelError, match="reduce_zero_label=False"):  # the usual case: background and one class
        require_labels(found(0, 1), LabelRules(("ground", "cell"), reduce_zero_label=True), "training data")
    (doubt, _) = require_labels(found(0, 2), rules, "training data")
    assert "unless that class is absent" in doubt


def test_files_that_cannot_be_used_come_first_and_are_counted():
    faults = {f"{number}.png": "it is missing" for number in range(7)}
    with pytest.raises(LabelError, match=r"7 of 1 label maps(.|\n)*0\.png: it is missing(.|\n)*and 2 more(.|\n)*Fix:"):
        require_labels(found(9, faults=faults), LabelRules(CLASSES), "training data")


def test_a_class_without_a_pixel_is_said():
    (said,) = require_labels(found(0, 1), LabelRules(CLASSES), "validation data")
    assert said == "validation data: no pixel is of 1 of the 3 classes: tree"
