"""How well anomalous steps are told from normal ones by their scores.

Official code: thuml/Time-Series-Library @ 4e938a1, exp/exp_anomaly_detection.py and ``adjustment`` of utils/tools.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.registry import METRICS
from torch import Tensor

from mmrepro.forecasting.window_metric import WindowMetric

# What is known of a step; a normal one is 0, an anomalous one 1.
REFERENCE = -1  # of the training rows: its score helps to find the threshold
REPEATED = -2  # seen in another window already: not counted


@METRICS.register_module()
class AnomalyMetric(WindowMetric):
    """Detection of anomalous steps by a threshold on their scores, as the Time-Series-Library measures it.

    The threshold is the score that ``anomaly_ratio`` percent of the training's and the test's steps together exceed.
    Point adjustment: where one step of an anomalous stretch is found, all of it counts as found. That is the convention
    of the published numbers, and it flatters: the ``_raw`` keys are without it.

    The keys are ``mse``, the mean score, of the test steps where there are any; and with test steps ``threshold``,
    ``accuracy``, ``precision``, ``recall``, ``f1``, ``precision_raw``, ``recall_raw``, ``f1_raw`` and ``steps``. A
    ratio with nothing below the line is 0.

    Args:
        anomaly_ratio: the share of steps to flag, in percent.
        prefix: put before each key with a ``/``.

    Raises:
        ValueError: ``anomaly_ratio`` is no percentage.
    """

    def __init__(self, anomaly_ratio: float = 1.0, prefix: str | None = None):
        super().__init__(prefix=prefix)
        if not 0 < anomaly_ratio < 100:
            raise ValueError(f"anomaly_ratio={anomaly_ratio} must lie between 0 and 100 (percent)")
        self.anomaly_ratio = anomaly_ratio

    def rows(self, data_samples: Sequence[dict]) -> Tensor:
        """Return scores and labels of each window (B, 2T).

        The samples have ``score`` (T,) and, where the data has them, ``labels`` (T,): 1 for an anomalous step, 0 for a
        normal one, ``REFERENCE`` or ``REPEATED``. Without labels all steps are of the reference.
        """
        scores = torch.stack([sample["score"] for sample in data_samples]).double()
        labels = [sample.get("labels", torch.full_like(sample["score"], REFERENCE)) for sample in data_samples]
        return torch.cat([scores, torch.stack(labels).to(scores)], dim=1)

    def compute_metrics(self, results: Tensor) -> dict[str, float]:
        """Turn scores and labels (W, 2T) into the metrics."""
        scores, labels = (part.flatten().cpu().numpy() for part in results.chunk(2, dim=1))
        reference, tested = scores[labels == REFERENCE], scores[labels >= 0]
        if not len(tested):
            return {"mse": float(reference.mean())}
        truth = labels[labels >= 0] == 1
        threshold = anomaly_threshold(reference, tested, self.anomaly_ratio)
        flagged = tested > threshold
        adjusted = point_adjusted(flagged, truth)
        return {
            "mse": float(tested.mean()),
            "threshold": threshold,
            "accuracy": float((adjusted == truth).mean()),
            **_scores_of(adjusted, truth),
            **{f"{key}_raw": value for key, value in _scores_of(flagged, truth).items()},
            "steps": len(tested),
        }


def anomaly_threshold(train_scores: np.ndarray, test_scores: np.ndarray, anomaly_ratio: float) -> float:
    """Return the score that ``anomaly_ratio`` percent of all steps exceed, the training's and the test's together."""
    return float(np.percentile(np.concatenate([train_scores, test_scores]), 100 - anomaly_ratio))


def point_adjusted(flagged: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return ``flagged`` (steps,) with each stretch of ``truth`` (steps,) flagged whole where one of its steps is."""
    if not len(truth):
        return flagged
    starts = np.flatnonzero(np.diff(truth.astype(np.int8), prepend=-1))  # of stretches of equal truth
    found = np.repeat(np.logical_or.reduceat(flagged, starts), np.diff(starts, append=len(truth)))
    return np.where(truth, found, flagged)


def _scores_of(flagged: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    hits = int((flagged & truth).sum())
    precision, recall = hits / max(int(flagged.sum()), 1), hits / max(int(truth.sum()), 1)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
