"""A generated series for the quickstart, tests and demonstrations: Lorenz-96, split by ratios like a CSV file."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from mmengine.registry import DATASETS

from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.lorenz96 import lorenz96
from mmrepro.datasets.series import Series

_generate = lru_cache(maxsize=2)(lorenz96)  # the three splits of a run use the same series


@DATASETS.register_module()
class Lorenz96Dataset(CSVForecastDataset):
    """Windows of a generated Lorenz-96 series with columns x1, x2, ... and an hourly time axis that means nothing.

    ``generate`` holds the arguments of ``mmrepro.datasets.lorenz96.lorenz96``. The system does not depend on the time
    of day, so there are no marks unless ``time_features`` asks for them.
    """

    def __init__(self, *args, generate: dict | None = None, time_features: bool = False, **kwargs) -> None:
        self.generate = dict(generate or {})
        super().__init__(*args, time_features=time_features, **kwargs)

    def read(self) -> Series:
        """Return the generated series."""
        values = _generate(**self.generate)
        columns = tuple(f"x{i + 1}" for i in range(values.shape[1]))
        dates = pd.date_range("2000-01-01", periods=len(values), freq="h")
        return Series(values, dates, columns, "the generated Lorenz-96 series")
