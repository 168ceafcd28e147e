"""The data sets of the iTransformer paper, all on ``mmrepro.datasets.windows.WindowDataset``."""

from mm_itransformer.datasets.csv_forecast import CSVForecastDataset
from mm_itransformer.datasets.ett import ETTDataset
from mm_itransformer.datasets.lorenz96 import Lorenz96Dataset
from mm_itransformer.datasets.pems import PEMSDataset
from mm_itransformer.datasets.solar import SolarDataset

__all__ = ["CSVForecastDataset", "ETTDataset", "Lorenz96Dataset", "PEMSDataset", "SolarDataset"]
