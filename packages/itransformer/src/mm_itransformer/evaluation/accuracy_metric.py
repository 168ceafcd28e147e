"""How often the right class is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import METRICS
from torch import Tensor

from mmrepro.forecasting.window_metric import WindowMetric


@METRICS.register_module()
class ClassAccuracyMetric(WindowMetric):
    """The share of windows whose class is right, beside that of always choosing the most frequent class.

    The keys are ``accuracy``, ``baseline_accuracy``, ``cross_entropy`` and ``windows``.

    Args:
        prefix: put before each key with a ``/``.
    """

    def rows(self, data_samples: Sequence[dict]) -> Tensor:
        """Return for each window whether it is right, its cross entropy, and its class (B, 3).

        The samples have ``logits`` (num_class,) and ``label`` ().
        """
        logits = torch.stack([sample["logits"] for sample in data_samples]).double()
        labels = torch.stack([sample["label"] for sample in data_samples]).long()
        entropies = F.cross_entropy(logits, labels, reduction="none")
        return torch.stack([(logits.argmax(1) == labels).double(), entropies, labels.double()], dim=1)

    def compute_metrics(self, results: Tensor) -> dict[str, float]:
        """Turn the rows (W, 3) into the metrics."""
        right, entropies, labels = results.unbind(1)
        return {
            "accuracy": right.mean().item(),
            "baseline_accuracy": labels.long().bincount().max().item() / len(labels),
            "cross_entropy": entropies.mean().item(),
            "windows": len(results),
        }
