"""KITTI's average precisions; importing this module registers the metric in mmdet's ``METRICS``."""

from mm_monodino_detr.evaluation.kitti_ap import DIFFICULTIES, DISTANCES, ClassRules, Curves, KittiEvaluation, Level
from mm_monodino_detr.evaluation.kitti_files import KittiFileError, KittiObjects, read_objects, read_split
from mm_monodino_detr.evaluation.kitti_metric import KittiMetric3D

__all__ = [
    "DIFFICULTIES",
    "DISTANCES",
    "ClassRules",
    "Curves",
    "KittiEvaluation",
    "KittiFileError",
    "KittiMetric3D",
    "KittiObjects",
    "Level",
    "read_objects",
    "read_split",
]
