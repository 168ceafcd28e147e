"""Generated pictures read as DETR's code reads COCO, the metric of them, and a baseline that never looks at them."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.registry import DATASETS, METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, PICTURES, coco_folder
from mmrepro.detection.common_places import CommonPlaces
from mmrepro.detection.detr_coco import DetrCocoDataset
from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.detection.existing_measures import ExistingMeasures


@DATASETS.register_module()
class GeneratedCocoDataset(DetrCocoDataset):
    """``DetrCocoDataset`` of generated pictures: the quickstarts and the tiny versions of configs read them.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`.
        kwargs: everything else as in :class:`mmrepro.detection.detr_coco.DetrCocoDataset`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        root = str(coco_folder(**(generate or {})))
        super().__init__(data_root=root, ann_file=ANNOTATIONS, data_prefix=dict(img=f"{PICTURES}/"), **kwargs)


@METRICS.register_module()
class GeneratedCocoMetric(ExistingMeasures, DetrCocoMetric):
    """``DetrCocoMetric`` of generated pictures: the metric finds their annotations itself.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`, those of the data set.
        kwargs: everything else as in :class:`mmrepro.detection.detr_coco_metric.DetrCocoMetric`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(ann_file=str(coco_folder(**(generate or {})) / ANNOTATIONS), **kwargs)


@METRICS.register_module()
class CommonPlacesMetric(CommonPlaces, GeneratedCocoMetric):
    """AP of guessing without looking, see :class:`mmrepro.detection.common_places.CommonPlaces`; labels are raw ids.

    Args:
        train: arguments of the generated training pictures.
        grid: boxes in each direction.
        kwargs: everything else as in :class:`GeneratedCocoMetric`.
    """

    label_of: ClassVar[dict[int, int]] = {category: category for category in CATEGORIES}
