"""COCO's metric on the official class space, and the macroscopic correlation of boxes."""

from mmdet.registry import METRICS

from mm_relation_detr.evaluation.macroscopic_correlation import MacroscopicCorrelation
from mmrepro.detection.detr_coco_metric import DetrCocoMetric
from mmrepro.detection.generated_coco import CommonPlacesMetric, GeneratedCocoMetric

__all__ = ["CommonPlacesMetric", "DetrCocoMetric", "GeneratedCocoMetric", "MacroscopicCorrelation"]

METRICS.register_module("RelationCocoMetric", module=DetrCocoMetric)  # its name in this paper's configs
