"""The mean absolute error of predicted values, beside that of always predicting the middle one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from mmrepro.reproduction.verdicts import BASELINE


@METRICS.register_module()
class MetaAbsoluteErrorMetric(BaseMetric):
    """``mae`` of ``pred_value`` to ``gt_value``, and ``baseline_mae``, of the median of the evaluated values.

    The median has the smallest error of all constants, so it is a baseline that knows more than a model may.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the value that was wanted and the predicted one of each sample."""
        self.results += [(float(sample["gt_value"]), float(sample["pred_value"])) for sample in data_samples]

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """Return the two errors."""
        wanted, found = np.array(results).T
        return {
            "mae": float(np.abs(found - wanted).mean()),
            f"{BASELINE}mae": float(np.abs(wanted - np.median(wanted)).mean()),
        }
