"""COCO's metric on the official class space, and the macroscopic correlation of boxes."""

from mm_relation_detr.evaluation.generated import CommonPlacesMetric, GeneratedCocoMetric
from mm_relation_detr.evaluation.macroscopic_correlation import MacroscopicCorrelation
from mm_relation_detr.evaluation.relation_coco_metric import RelationCocoMetric

__all__ = ["CommonPlacesMetric", "GeneratedCocoMetric", "MacroscopicCorrelation", "RelationCocoMetric"]
