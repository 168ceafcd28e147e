"""What papers on time series share: data sets, metric, embedding and decoder over time tokens.

Importing this module registers the data sets ``ETTDataset``, ``CSVForecastDataset`` and ``Lorenz96Dataset`` and the
metric ``ForecastMetric`` in mmengine's root registries.
"""

from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.ett import ETTDataset
from mmrepro.datasets.lorenz96_windows import Lorenz96Dataset
from mmrepro.forecasting.forecast_metric import ForecastMetric

__all__ = ["CSVForecastDataset", "ETTDataset", "ForecastMetric", "Lorenz96Dataset"]
