"""Baselines that never look at a picture: for segmentation, and the core's for detection."""

from mm_vit_comer.evaluation.common_class import CommonClassMetric
from mmrepro.detection.common_places import ShapesCommonPlacesMetric

__all__ = ["CommonClassMetric", "ShapesCommonPlacesMetric"]
