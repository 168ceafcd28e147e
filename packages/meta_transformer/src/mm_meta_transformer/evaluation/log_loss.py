"""The mean cross-entropy of predictions, to steer a learning rate or to stop early by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS


@METRICS.register_module()
class LogLoss(BaseMetric):
    """``log_loss``, the mean of ``-log(score of the true class)`` over all samples.

    Scores below the smallest positive float32 count as that: a score that underflows costs 87, not infinity.

    Args:
        kwargs: as in mmengine's ``BaseMetric``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the score of each sample's true class."""
        self.results += [float(sample["pred_score"][int(sample["gt_label"])]) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Return the mean over all samples."""
        return {"log_loss": float(-np.log(np.maximum(results, np.finfo(np.float32).tiny)).mean())}
