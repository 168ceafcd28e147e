"""Generated pictures with boxes and masks as mmdet's COCO data, and COCO's measures of them."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, PICTURES, coco_folder
from mmrepro.datasets.generated.seg_shapes import PALETTE


@DATASETS.register_module()
class ShapesCocoDataset(CocoDataset):
    """Generated pictures in COCO's format, with boxes and polygons: discs, squares and triangles.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`.
        **kwargs: everything else as in mmdet's ``CocoDataset``.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=tuple(CATEGORIES.values()),
        palette=[tuple(colour) for colour in PALETTE[1:]],  # the first is the ground's
    )

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(
            data_root=str(coco_folder(**(generate or {}))),
            ann_file=ANNOTATIONS,
            data_prefix=dict(img=f"{PICTURES}/"),
            **kwargs,
        )


@METRICS.register_module()
class ShapesCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` of generated pictures, for boxes and masks: it finds their annotations itself.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`, those of the data set.
        metric: what is measured.
        **kwargs: everything else as in mmdet's ``CocoMetric``.
    """

    def __init__(self, generate: dict | None = None, metric: str | list[str] = ("bbox", "segm"), **kwargs: Any) -> None:
        metric = metric if isinstance(metric, str) else list(metric)
        super().__init__(ann_file=str(coco_folder(**(generate or {})) / ANNOTATIONS), metric=metric, **kwargs)
