"""ETTh1, ETTh2, ETTm1, ETTm2: fixed borders of 12, 4 and 4 months of 30 days; the file's tail is not used.

Source: ``Dataset_ETT_hour`` and ``Dataset_ETT_minute`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

from typing import Literal

from mmengine.registry import DATASETS

from mmrepro.datasets.series import Series, SeriesError
from mmrepro.datasets.windows import Split, WindowDataset

_MONTH = 30 * 24  # hours


@DATASETS.register_module()
class ETTDataset(WindowDataset):
    """Windows of an ETT file. ``interval`` is "hour" (ETTh) or "15min" (ETTm); the rest as in ``WindowDataset``."""

    def __init__(self, *args, interval: Literal["hour", "15min"] = "hour", **kwargs) -> None:
        if interval not in ("hour", "15min"):
            raise ValueError(f"interval={interval!r} is not known. Fix: use 'hour' or '15min'")
        self.interval = interval
        self.quarter_hours = interval == "15min"
        super().__init__(*args, **kwargs)

    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the split's rows; validation and test begin ``seq_len`` rows early."""
        month = _MONTH * (1 if self.interval == "hour" else 4)
        start, stop = {"train": (0, 12), "val": (12, 16), "test": (16, 20)}[split]
        return start * month - (self.seq_len if start else 0), stop * month

    def read(self) -> Series:
        """Return the series; it must cover the 20 months.

        Raises:
            SeriesError: the file is shorter.
        """
        series = super().read()
        _, needed = self.borders(len(series.values), "test")
        if len(series.values) < needed:
            raise SeriesError(
                f"{series.path}: {len(series.values)} rows, but an ETT file with interval={self.interval!r} "
                f"has at least {needed}. Fix: use CSVForecastDataset for a file of your own"
            )
        return series
