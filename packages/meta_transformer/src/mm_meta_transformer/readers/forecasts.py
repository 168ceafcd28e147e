"""Series to forecast, from CSV files, DataFrames and arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mm_meta_transformer.readers.reader import Reader, Sample
from mmrepro.datasets.series import Series, future_dates, read_csv, read_frame
from mmrepro.datasets.time_features import calendar_features, time_features
from mmrepro.engine.errors import UserError


class ForecastReader(Reader):
    """Read series: CSV files (``.gz`` too), DataFrames with dates as index or column, or arrays ``(T, V)``.

    The columns are those of the training, in its order and scaled as it was; an array has them without names, and goes
    only with models without time features. The forecast begins after the last row, or at the row ``start``.
    """

    modality = "time-series"
    options = frozenset({"start", "freq", "date_column"})
    suffixes = (".csv", ".gz")

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return no steps; a window has none."""
        names = ("date_column", "date_format", "encoding")
        self.reading = {name: self.dataset[name] for name in names if name in self.dataset}
        return pipeline

    def read(
        self, source: Any, name: str, start: int | None = None, freq: str | None = None, date_column: str | None = None
    ) -> Iterator[Sample]:
        """Yield the window before the forecast.

        Args:
            source: a file, a DataFrame or an array.
            name: what it is called.
            start: row where the forecast begins, negative from the end; the rows from there on are the truth to
                compare with.
            freq: step of the dates beyond the input; by default what its dates say.
            date_column: the column of the dates; by default that of the config's data set, or ``date``.

        Raises:
            FileNotFoundError: there is no such file.
            SeriesError: it is no series.
            UserError: a column is missing, the window is too short, or dates are missing.
        """
        columns = list(self.facts["columns"])
        reading = self.reading | ({} if date_column is None else {"date_column": date_column})
        series = _series(source, name, columns, reading)
        if absent := [column for column in columns if column not in series.columns]:
            raise UserError(f"{name} has no column {', '.join(absent)}; it has {', '.join(series.columns)}")
        series = series.select(columns)
        rows, seq_len, pred_len = len(series.values), self.model.seq_len, self.model.pred_len
        row = rows if start is None else start + rows if start < 0 else start
        if not seq_len <= row <= rows:
            raise UserError(
                f"{name} has {rows} rows and the forecast begins at row {row}: {seq_len} must come before it"
            )
        mean, std = (np.array(self.facts[key]) for key in ("mean", "std"))
        known = slice(row - seq_len, row)
        results = {"inputs": ((series.values[known] - mean) / std).astype(np.float32)}
        index = self._index(series, row, pred_len, freq)
        if self.facts["time_features"]:
            results["marks"], results["future_marks"] = (
                self._marks(dates, name) for dates in (_dates(series, known), index)
            )
        raw = {
            "history": pd.DataFrame(series.values[known], _dates(series, known), columns),
            "truth": pd.DataFrame(series.values[row : row + pred_len], index[: rows - row], columns)
            if row < rows
            else None,
            "index": index,
            "scale": (mean, std),
        }
        yield Sample(name, results, raw)

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a window with what followed it."""
        rows = slice(number, number + dataset.seq_len + dataset.pred_len)
        values = dataset.values[rows].double().numpy() * dataset.std + dataset.mean
        return pd.DataFrame(values, dataset.dates[rows], list(dataset.columns)), {"start": dataset.seq_len}

    def packed(self, sample: Sample) -> dict[str, Any]:
        """Return the window; it has no pipeline."""
        return dict(sample.results)

    def _index(self, series: Series, row: int, length: int, freq: str | None) -> pd.Index:
        own = _dates(series, slice(row, row + length))
        if len(own) == length:
            return own
        if series.dates is None:
            return pd.RangeIndex(row, row + length, name="row")
        return own.append(future_dates(series.dates, length - len(own), freq)).rename("date")

    def _marks(self, dates: pd.Index, name: str) -> np.ndarray:
        if not isinstance(dates, pd.DatetimeIndex):
            raise UserError(
                f"{name} has no dates, and the model reads time features. Fix: a DataFrame with dates as its index, or "
                "a CSV file with a column 'date'"
            )
        if self.facts["time_features"] == "calendar":
            return calendar_features(dates, quarter_hours=self.facts["quarter_hours"]).astype(np.float32)
        return time_features(dates, self.facts["freq"]).astype(np.float32)


def _series(source: Any, name: str, columns: list[str], reading: dict[str, Any]) -> Series:
    if isinstance(source, (str, Path)):
        return read_csv(source, **reading)
    if isinstance(source, pd.DataFrame):
        return read_frame(source, **{key: value for key, value in reading.items() if key != "encoding"})
    values = np.asarray(source)
    if (
        values.ndim != 2
        or values.shape[1] != len(columns)
        or values.dtype.kind not in "iuf"
        or not np.isfinite(values).all()
    ):
        raise UserError(f"{name} is {values.shape}. Fix: finite numbers (T, {len(columns)}): {', '.join(columns)}")
    return Series(values.astype(np.float64), None, tuple(columns), name)


def _dates(series: Series, rows: slice) -> pd.Index:
    if series.dates is None:
        return pd.RangeIndex(len(series.values), name="row")[rows]
    return series.dates[rows].rename("date")
