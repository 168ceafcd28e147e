"""Metrics of forecasts and of the other tasks; importing this module registers them in mmengine's ``METRICS``."""

from mm_itransformer.evaluation.accuracy_metric import ClassAccuracyMetric
from mm_itransformer.evaluation.anomaly_metric import AnomalyMetric, anomaly_threshold, point_adjusted
from mm_itransformer.evaluation.errors import correlation, relative_squared_error
from mm_itransformer.evaluation.forecast_metric import ForecastMetric
from mm_itransformer.evaluation.imputation_metric import ImputationMetric

__all__ = [
    "AnomalyMetric",
    "ClassAccuracyMetric",
    "ForecastMetric",
    "ImputationMetric",
    "anomaly_threshold",
    "correlation",
    "point_adjusted",
    "relative_squared_error",
]
