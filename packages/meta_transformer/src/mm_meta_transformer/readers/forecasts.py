"""Series to forecast, from CSV files, DataFrames and arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mm_meta_transformer.readers.reader import Reader, Sample
from mmrepro.datasets.missing_values import fill_missing
from mmrepro.engine.errors import UserError
from mmrepro.forecasting.history import choose_scaler, first_row, forecast_rows, rows_of, time_marks, to_series


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
        self,
        source: Any,
        name: str,
        start: int | str | None = None,
        freq: str | None = None,
        date_column: str | None = None,
    ) -> Iterator[Sample]:
        """Yield the window before the forecast.

        Args:
            source: a file, a DataFrame or an array.
            name: what it is called.
            start: row (negative from the end) or date where the forecast begins; the rows from there on are the truth
                to compare with.
            freq: step of the dates beyond the input; by default what its dates say.
            date_column: the column of the dates; by default that of the config's data set, or ``date``.

        Raises:
            FileNotFoundError: there is no such file.
            SeriesError: it is no series, the window is too short, or dates are missing.
            UserError: a column is missing, an array has another number of variates, or ``freq`` is no step.
        """
        _check_step(freq)
        undated = isinstance(source, pd.DataFrame) and not isinstance(source.index, pd.DatetimeIndex)
        if undated and date_column not in (None, source.index.name, *source.columns):
            raise UserError(
                f"{name} has no column {date_column}; it has {', '.join(map(str, source))}. Fix: date_column"
            )
        columns = list(self.facts["columns"])
        reading = self.reading | ({} if date_column is None else {"date_column": date_column})
        series = to_series(source, columns, **reading)
        if isinstance(source, np.ndarray) and series.values.shape[1] != len(columns):
            raise UserError(
                f"{name} has {series.values.shape[1]} variates. Fix: an array (T, {len(columns)}): {', '.join(columns)}"
            )
        if absent := [column for column in columns if column not in series.columns]:
            raise UserError(f"{series.path} has no column {', '.join(absent)}; it has {', '.join(series.columns)}")
        missing = self.facts["missing_values"] if "missing_values" in self.facts else self.dataset.get("missing_values")
        seq_len, pred_len = self.model.seq_len, self.model.pred_len
        row = first_row(series, start, seq_len, freq)
        scaler = {key: self.facts[key] for key in ("columns", "mean", "std")}
        series, mean, std = choose_scaler(series, scaler, False, row)
        rows, known = len(series.values), slice(row - seq_len, row)
        filled = int(np.isin(series.values[known], missing or ()).sum())
        series = fill_missing(series, missing or ())
        results = {"inputs": ((series.values[known] - mean) / std).astype(np.float32)}
        history, index = rows_of(series, known), forecast_rows(series, row, pred_len, seq_len, freq)
        if self.facts["time_features"]:
            meta = {key: self.facts[key] for key in ("time_features", "freq", "quarter_hours")}
            results["marks"], results["future_marks"] = (
                time_marks(series, dates, meta)[0] for dates in (history, index)
            )
        raw = {
            "history": pd.DataFrame(series.values[known], history, columns),
            "truth": pd.DataFrame(series.values[row : row + pred_len], index[: rows - row], columns)
            if row < rows
            else None,
            "index": index,
            "scale": (mean, std),
        }
        yield Sample(name, results, raw, (f"{filled} missing values filled",) if filled else ())

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a window with what followed it."""
        rows = slice(number, number + dataset.seq_len + dataset.pred_len)
        values = dataset.values[rows].double().numpy() * dataset.std + dataset.mean
        return pd.DataFrame(values, dataset.dates[rows], list(dataset.columns)), {"start": dataset.seq_len}

    def packed(self, sample: Sample) -> dict[str, Any]:
        """Return the window; it has no pipeline."""
        return dict(sample.results)


def _check_step(freq: str | None) -> None:
    try:
        pd.tseries.frequencies.to_offset(freq)
    except (TypeError, ValueError) as error:
        raise UserError(f"freq={freq!r} is no step of dates. Fix: such as '15min', 'h' or 'D'") from error
