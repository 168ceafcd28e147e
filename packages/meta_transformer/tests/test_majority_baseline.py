"""The accuracy of always giving the most frequent class."""

import torch
from mmpretrain.registry import METRICS


def test_the_share_of_the_most_frequent_class_stands_beside_the_accuracy():
    metric = METRICS.build(dict(type="MajorityBaseline"))
    for label in (0, 1, 1, 2, 1):
        metric.process(None, [dict(gt_label=torch.tensor([label]))])
    assert metric.evaluate(size=5) == {"baseline_accuracy/top1": 60.0}
