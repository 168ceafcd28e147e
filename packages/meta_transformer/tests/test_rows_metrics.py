"""Scores of land cover and of probabilities."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import METRICS
from sklearn.metrics import cohen_kappa_score, log_loss, recall_score

from mm_meta_transformer.evaluation.land_cover_metric import land_cover_scores

TRUE, PREDICTED = np.array([0, 0, 0, 0, 1, 1, 3]), np.array([0, 0, 0, 1, 1, 3, 3])


def test_average_accuracy_and_kappa_are_those_of_scikit_learn():
    scores = land_cover_scores(TRUE, PREDICTED)
    assert scores["OA"] == pytest.approx(5 / 7)
    assert scores["AA"] == pytest.approx(recall_score(TRUE, PREDICTED, average="macro"))
    assert scores["kappa"] == pytest.approx(cohen_kappa_score(TRUE, PREDICTED))
    assert np.isnan(scores["per_class"]).tolist() == [False, False, True, False]


def test_one_class_that_is_always_named_agrees_by_chance_alone():
    assert land_cover_scores(np.zeros(3, int), np.zeros(3, int))["kappa"] == 0


def test_the_metric_gives_per_cent_whatever_the_batches():
    metric = METRICS.build(dict(type="LandCoverMetric"))
    for batch in (slice(0, 3), slice(3, None)):
        metric.process(
            None,
            [
                dict(gt_label=torch.tensor([true]), pred_label=torch.tensor([predicted]))
                for true, predicted in zip(TRUE[batch], PREDICTED[batch], strict=True)
            ],
        )
    found = metric.evaluate(size=7)
    assert (found["OA"], found["AA"]) == (pytest.approx(500 / 7), pytest.approx(75.0))


def test_log_loss_is_the_mean_over_samples():
    scores, labels = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), [0, 1, 0]
    metric = METRICS.build(dict(type="LogLoss"))
    samples = [
        dict(gt_label=torch.tensor([label]), pred_score=score) for label, score in zip(labels, scores, strict=True)
    ]
    metric.process(None, samples[:2])
    metric.process(None, samples[2:])
    assert metric.evaluate(size=3)["log_loss"] == pytest.approx(log_loss(labels, scores[:, 1].double()), rel=1e-6)


def test_a_score_that_underflows_costs_much_but_not_everything():
    metric = METRICS.build(dict(type="LogLoss"))
    metric.process(None, [dict(gt_label=torch.tensor([0]), pred_score=torch.tensor([0.0, 1.0]))])
    assert metric.evaluate(size=1)["log_loss"] == pytest.approx(87.3, abs=0.1)
