"""Metrics of forecasts; importing this module registers them in mmengine's ``METRICS``."""

from mm_itransformer.evaluation.errors import correlation, relative_squared_error
from mm_itransformer.evaluation.forecast_metric import ForecastMetric

__all__ = ["ForecastMetric", "correlation", "relative_squared_error"]
