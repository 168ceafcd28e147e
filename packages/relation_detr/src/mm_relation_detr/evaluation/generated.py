"""AP on generated pictures: the metric finds their annotations itself, and a baseline that never looks at a picture."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.registry import METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, coco_folder
from mmrepro.detection.common_places import CommonPlaces

from .relation_coco_metric import RelationCocoMetric


@METRICS.register_module()
class GeneratedCocoMetric(RelationCocoMetric):
    """``RelationCocoMetric`` of generated pictures.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`, those of the data set.
        kwargs: everything else as in :class:`RelationCocoMetric`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(ann_file=str(coco_folder(**(generate or {})) / ANNOTATIONS), **kwargs)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Leave out the measures of sizes that no generated object has: they are -1, which nothing can beat."""
        return {name: value for name, value in super().compute_metrics(results).items() if value != -1}


@METRICS.register_module()
class CommonPlacesMetric(CommonPlaces, GeneratedCocoMetric):
    """AP of guessing without looking, see :class:`mmrepro.detection.common_places.CommonPlaces`; labels are raw ids.

    Args:
        train: arguments of the generated training pictures.
        grid: boxes in each direction.
        kwargs: everything else as in :class:`GeneratedCocoMetric`.
    """

    label_of: ClassVar[dict[int, int]] = {category: category for category in CATEGORIES}
