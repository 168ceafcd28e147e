"""Overall accuracy, average accuracy and kappa: what is reported of land-cover maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS


def land_cover_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return the scores of predictions.

    Args:
        true, predicted: class numbers ``(N,)`` from 0.

    Returns:
        ``OA``, the share of pixels that are right; ``AA``, the mean of the classes' shares; ``kappa``, agreement beyond
        chance; ``per_class`` ``(K,)``, NaN for a class without pixels, which ``AA`` leaves out.
    """
    confusion = np.zeros((max(true.max(), predicted.max()) + 1,) * 2)
    np.add.at(confusion, (true, predicted), 1)
    total, right, rows = confusion.sum(), np.diag(confusion), confusion.sum(1)
    per_class = np.divide(right, rows, out=np.full_like(right, np.nan), where=rows > 0)
    agreed, chance = right.sum() / total, rows @ confusion.sum(0) / total**2
    # one class that is always predicted: nothing is left for agreement beyond chance
    kappa = (agreed - chance) / (1 - chance) if chance < 1 else 0.0
    return {"OA": agreed, "AA": np.nanmean(per_class), "kappa": kappa, "per_class": per_class}


@METRICS.register_module()
class LandCoverMetric(BaseMetric):
    """``OA`` and ``AA`` in per cent and ``kappa``, over all samples, whatever the batches.

    Args:
        kwargs: as in mmengine's ``BaseMetric``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the true and the predicted class of each sample."""
        self.results += [(int(sample["gt_label"]), int(sample["pred_label"])) for sample in data_samples]

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Return the scores of all samples."""
        scores = land_cover_scores(*np.array(results).T)
        return {"OA": 100 * scores["OA"], "AA": 100 * scores["AA"], "kappa": scores["kappa"]}
