"""COCO's measures on generated pictures, and a baseline for segmentation."""

from mm_vit_comer.evaluation.common_class import CommonClassMetric
from mm_vit_comer.evaluation.generated import CoMerGeneratedCocoMetric

__all__ = ["CoMerGeneratedCocoMetric", "CommonClassMetric"]
