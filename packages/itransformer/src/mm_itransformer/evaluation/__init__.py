"""Metrics of the tasks other than forecasting; importing this module registers them in mmengine's ``METRICS``."""

from mm_itransformer.evaluation.accuracy_metric import ClassAccuracyMetric
from mm_itransformer.evaluation.anomaly_metric import AnomalyMetric, anomaly_threshold, point_adjusted
from mm_itransformer.evaluation.imputation_metric import ImputationMetric

__all__ = [
    "AnomalyMetric",
    "ClassAccuracyMetric",
    "ImputationMetric",
    "anomaly_threshold",
    "point_adjusted",
]
