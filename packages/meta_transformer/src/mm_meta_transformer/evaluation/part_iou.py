"""Intersection over union of an object's parts (ShapeNetPart's measure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from mm_meta_transformer.datasets.shapenetpart import PARTS
from mm_meta_transformer.evaluation.point_iou import counted_points


@METRICS.register_module()
class PartIoUMetric(BaseMetric):
    """``ins_mIoU``, the mean over objects, and ``cls_mIoU``, the mean over categories, in per cent.

    An object's value is the mean over the parts of its category; a part that neither truth nor prediction has is right.

    Args:
        parts: by category, in the order of its number: the labels of its parts. ShapeNetPart's by default.
        collect_device, prefix: as in mmengine.
    """

    default_prefix = "parts"

    def __init__(
        self,
        parts: Mapping[str, Sequence[int]] | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.parts = list((parts or PARTS).values())

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compute each object's value.

        Args:
            data_batch: not used.
            data_samples: ``gt_points`` and ``pred_points``, each ``(N,)``, and ``category``.
        """
        for sample in data_samples:
            truth, found = counted_points(sample, -100)
            category = int(sample["category"])
            values = []
            for part in self.parts[category]:
                union = ((truth == part) | (found == part)).sum()
                values.append(((truth == part) & (found == part)).sum() / union if union else 1.0)
            self.results.append((category, float(np.mean(values))))

    def compute_metrics(self, results: list[tuple[int, float]]) -> dict[str, float]:
        """Return the two means in per cent."""
        categories, values = (np.array(column) for column in zip(*results, strict=True))
        means = [values[categories == category].mean() for category in np.unique(categories)]
        return {"ins_mIoU": 100 * float(values.mean()), "cls_mIoU": 100 * float(np.mean(means))}
