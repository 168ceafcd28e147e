"""Intersection over union of classes of points, over all clouds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS


@METRICS.register_module()
class PointIoUMetric(BaseMetric):
    """``mIoU``, ``mAcc`` and ``OA`` in per cent; a class that no point has, in truth or prediction, is left out.

    Args:
        ignored: label of points that do not count; those with ``point_mask`` 0 never do.
        collect_device, prefix: as in mmengine.

    Raises:
        ValueError: when they are computed: no point of the data counts.
    """

    default_prefix = "points"

    def __init__(self, ignored: int = -100, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignored = ignored

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count pairs of classes.

        Args:
            data_batch: not used.
            data_samples: ``gt_points`` and ``pred_points``, each ``(N,)``.
        """
        classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            truth, found = counted_points(sample, self.ignored)
            self.results.append(np.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Return the measures in per cent."""
        pairs = np.sum(results, axis=0)
        if not pairs.sum():
            raise ValueError(
                f"of {len(results)} tested clouds no point counts: every label is {self.ignored}, or masked. "
                "Fix: the labels of the test data, or ignored of PointIoUMetric"
            )
        hits, truths, finds = pairs.diagonal(), pairs.sum(1), pairs.sum(0)
        measures = {
            "mIoU": _mean(hits, truths + finds - hits),
            "mAcc": _mean(hits, truths),
            "OA": 100 * hits.sum() / pairs.sum(),
        }
        return {name: float(value) for name, value in measures.items()}


def counted_points(sample: dict, ignored: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample's truth and prediction, without the points that do not count."""
    truth, found = (np.asarray(sample[key].cpu()) for key in ("gt_points", "pred_points"))
    counts = truth != ignored
    if "point_mask" in sample:
        counts &= np.asarray(sample["point_mask"].cpu()) != 0
    return truth[counts], found[counts]


def _mean(part: np.ndarray, whole: np.ndarray) -> float:
    return 100 * (part[whole > 0] / whole[whole > 0]).mean()
