"""Losses of points, against their definitions written out for one value at a time."""

import math

import pytest
import torch

from mm_meta_transformer.models.losses.point_cross_entropy import PointCrossEntropy
from mm_meta_transformer.models.losses.poly_focal import Poly1FocalLoss


@pytest.mark.parametrize("loss", [PointCrossEntropy(0.2), Poly1FocalLoss()])
def test_points_that_do_not_count_change_nothing(loss):
    logits, labels = torch.randn(2, 5, 7), torch.randint(5, (2, 7))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0]]).expand(2, -1)
    torch.testing.assert_close(loss(logits, labels, mask), loss(logits[..., :4], labels[:, :4]))


def test_a_label_can_be_one_that_never_counts():
    logits = torch.randn(1, 3, 2)
    labels = torch.tensor([[1, -100]])
    torch.testing.assert_close(PointCrossEntropy()(logits, labels), PointCrossEntropy()(logits[..., :1], labels[:, :1]))


def test_poly_focal_is_the_mean_over_points_and_classes():
    logits, label = torch.tensor([[[0.3], [-1.2]]]), 1
    expected = 0.0
    for number, logit in enumerate((0.3, -1.2)):
        score = 1 / (1 + math.exp(-logit))
        right, weight = (score, 0.4) if number == label else (1 - score, 0.6)
        expected += weight * (1 - right) ** 3 * -math.log(right) + 0.5 * (1 - right) ** 4
    loss = Poly1FocalLoss(alpha=0.4, gamma=3.0, epsilon=0.5)(logits, torch.tensor([[label]]))
    assert float(loss) == pytest.approx(expected / 2, rel=1e-5)
