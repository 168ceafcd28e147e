"""The data sets of the iTransformer paper and of its other tasks, most on ``mmrepro.datasets.windows``."""

from mm_itransformer.datasets.anomaly import AnomalyDataset
from mm_itransformer.datasets.classification import ClassificationDataset
from mm_itransformer.datasets.csv_forecast import CSVForecastDataset
from mm_itransformer.datasets.ett import ETTDataset
from mm_itransformer.datasets.imputation import ImputationWindows
from mm_itransformer.datasets.lorenz96 import Lorenz96Dataset
from mm_itransformer.datasets.pems import PEMSDataset
from mm_itransformer.datasets.solar import SolarDataset

__all__ = [
    "AnomalyDataset",
    "CSVForecastDataset",
    "ClassificationDataset",
    "ETTDataset",
    "ImputationWindows",
    "Lorenz96Dataset",
    "PEMSDataset",
    "SolarDataset",
]
