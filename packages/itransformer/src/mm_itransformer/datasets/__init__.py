"""The data sets of the iTransformer paper alone and of its other tasks; ``mmrepro.forecasting`` brings the others."""

from mm_itransformer.datasets.anomaly import AnomalyDataset
from mm_itransformer.datasets.classification import ClassificationDataset
from mm_itransformer.datasets.imputation import ImputationWindows
from mm_itransformer.datasets.pems import PEMSDataset
from mm_itransformer.datasets.solar import SolarDataset

__all__ = [
    "AnomalyDataset",
    "ClassificationDataset",
    "ImputationWindows",
    "PEMSDataset",
    "SolarDataset",
]
