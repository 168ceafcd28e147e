"""PEMS03, 04, 07, 08 (traffic flow, every 5 minutes): channel 0 of the array ``data`` (T, V, channels) in an npz file.

Source: ``Dataset_PEMS`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
from mmengine.registry import DATASETS

from mmrepro.datasets.series import Series, SeriesError
from mmrepro.datasets.windows import Split, WindowDataset


@DATASETS.register_module()
class PEMSDataset(WindowDataset):
    """Windows of a PEMS file: no dates, no marks, splits that do not overlap, missing values filled in each split."""

    def __init__(self, *args, time_features: bool = False, **kwargs) -> None:
        super().__init__(*args, time_features=time_features, **kwargs)

    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the split's rows: 0.6, 0.2 and 0.2 of the file, without look-back into the split before."""
        first, second = int(0.6 * n_rows), int((0.6 + 0.2) * n_rows)
        return {"train": (0, first), "val": (first, second), "test": (second, n_rows)}[split]

    def read(self) -> Series:
        """Return the series without dates; missing values are NaN.

        Raises:
            SeriesError: the file is no npz file with an array ``data`` of three axes, or it is cut.
        """
        path = self.path()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                data = arrays["data"]
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as fault:
            raise SeriesError(f"{path}: no npz file with an array 'data' ({fault}). Fix: download it again") from fault
        if data.ndim != 3:
            raise SeriesError(f"{path}: 'data' has shape {data.shape}. Fix: give (time, variates, channels)")
        values = data[:, :, 0].astype(np.float64)
        return Series(values, None, tuple(map(str, range(values.shape[1]))), str(path))

    def fill(self, values: np.ndarray) -> np.ndarray:
        """Return the values with gaps filled forwards, then backwards, inside the split.

        Raises:
            SeriesError: a variate has no value in the split.
        """
        filled = pd.DataFrame(values).ffill().bfill().to_numpy()
        empty = np.flatnonzero(np.isnan(filled).any(axis=0))
        if len(empty):
            raise SeriesError(
                f"{self.path()}: column {self.columns[empty[0]]!r} has no value in the {self.split} split "
                f"({len(empty)} such columns). Fix: leave it out with variates"
            )
        return filled
