"""Intersection over union of points and of parts."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score

from mm_meta_transformer.evaluation.part_iou import PartIoUMetric
from mm_meta_transformer.evaluation.point_iou import PointIoUMetric


def sample(truth, found, **more):
    return dict(gt_points=torch.tensor(truth), pred_points=torch.tensor(found), **more)


def measured(metric, *samples):
    for one in samples:
        metric.process(None, [one])
    return metric.evaluate(len(samples))


def test_it_is_that_of_all_points_together_by_class():
    draw = np.random.default_rng(0)
    truth, found = draw.integers(4, size=(2, 90)), draw.integers(4, size=(2, 90))
    metric = PointIoUMetric()
    metric.dataset_meta = dict(classes=("a", "b", "c", "d", "never"))
    result = measured(metric, *(sample(*pair) for pair in zip(truth.tolist(), found.tolist(), strict=True)))
    truth, found = truth.ravel(), found.ravel()
    assert result == pytest.approx(
        {
            "points/mIoU": 100 * jaccard_score(truth, found, average="macro"),
            "points/mAcc": 100 * recall_score(truth, found, average="macro"),
            "points/OA": 100 * accuracy_score(truth, found),
        }
    )


def test_points_that_do_not_count_are_left_out():
    metric = PointIoUMetric()
    metric.dataset_meta = dict(classes=("a", "b"))
    given = sample([0, 1, -100, 1], [0, 1, 0, 0], point_mask=torch.tensor([1, 1, 1, 0]))
    assert measured(metric, given) == {"points/mIoU": 100, "points/mAcc": 100, "points/OA": 100}


def test_an_objects_value_is_the_mean_over_the_parts_of_its_kind():
    metric = PartIoUMetric(parts={"mug": (0, 1), "table": (2, 3, 4)})
    result = measured(
        metric,
        sample([0, 0, 1, 1], [0, 0, 1, 0], category=0),  # 2/3 and 1/2
        sample([0, 0, 0, 0], [0, 0, 0, 0], category=0),  # 1, and 1 for the handle that it has not
        sample([2, 2, 3, 3], [2, 2, 3, 4], category=1),  # 1, 1/2 and 0
    )
    mug, whole, table = 7 / 12, 1, 1 / 2
    assert result == pytest.approx(
        {"parts/ins_mIoU": 100 * (mug + whole + table) / 3, "parts/cls_mIoU": 100 * ((mug + whole) / 2 + table) / 2}
    )


def test_data_of_which_no_point_counts_is_named():
    metric = PointIoUMetric()
    metric.dataset_meta = dict(classes=("a", "b"))
    with pytest.raises(ValueError, match=r"of 1 tested clouds no point counts: every label is -100, or masked. Fix"):
        measured(metric, sample([-100, -100], [0, 1]))
