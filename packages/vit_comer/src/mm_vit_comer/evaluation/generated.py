"""COCO's measures on generated pictures: the metric finds their annotations itself."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, coco_folder


@METRICS.register_module()
class CoMerGeneratedCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` of generated pictures, for boxes and masks.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`, those of the data set.
        metric: what is measured.
        **kwargs: everything else as in mmdet's ``CocoMetric``.
    """

    def __init__(self, generate: dict | None = None, metric: str | list[str] = ("bbox", "segm"), **kwargs: Any) -> None:
        metric = metric if isinstance(metric, str) else list(metric)
        super().__init__(ann_file=str(coco_folder(**(generate or {})) / ANNOTATIONS), metric=metric, **kwargs)
