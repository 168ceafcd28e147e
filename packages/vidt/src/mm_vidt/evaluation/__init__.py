"""COCO's measures of boxes and masks are the core's."""

from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.detection.detr_voc import CommonPlacesVocMetric, DetrVocMetric
from mmrepro.detection.generated_coco import CommonPlacesMetric, GeneratedCocoMetric

__all__ = ["CommonPlacesMetric", "CommonPlacesVocMetric", "DetrCocoMetric", "DetrVocMetric", "GeneratedCocoMetric"]
