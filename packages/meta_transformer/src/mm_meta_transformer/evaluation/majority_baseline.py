"""The accuracy of always giving the most frequent class: what a trained classifier must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from mmrepro.reproduction.verdicts import BASELINE


@METRICS.register_module()
class MajorityBaseline(BaseMetric):
    """Accuracy in per cent of giving every tested sample the most frequent class of those samples.

    That class is read off the tested labels, so no constant answer can be better. List it beside mmpretrain's
    ``Accuracy`` in ``test_evaluator``: the test then prints ``baseline_accuracy/top1`` beside ``accuracy/top1``.

    Args:
        name: name of the metric that it stands beside.
        collect_device: as in mmengine.
    """

    def __init__(self, name: str = "accuracy/top1", collect_device: str = "cpu") -> None:
        super().__init__(collect_device=collect_device)
        self.name = name

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the labels.

        Args:
            data_batch: not used.
            data_samples: one dict with ``gt_label`` per sample.
        """
        self.results += [int(sample["gt_label"]) for sample in data_samples]

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Return the share of the most frequent label."""
        return {f"{BASELINE}{self.name}": 100 * max(Counter(results).values()) / len(results)}
