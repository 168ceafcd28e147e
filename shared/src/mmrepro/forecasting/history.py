"""The history that a forecast is made from: what a user gives as a series, where the forecast begins, its dates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrepro.datasets.series import Series, SeriesError, future_dates, read_csv, read_frame
from mmrepro.datasets.time_features import calendar_features, feature_names, time_features

CALENDAR = ("month", "day", "weekday", "hour", "quarter of the hour")


def to_series(
    source: str | Path | pd.DataFrame | np.ndarray,
    columns: list[str] | None = None,
    date_column: str = "date",
    date_format: str | None = None,
    encoding: str = "utf-8",
) -> Series:
    """Read what a user gives as a series.

    Args:
        source: path of a CSV file; a DataFrame with dates as its index or in ``date_column``; or an array (T, V).
        columns: names of an array's columns; ``x1``, ``x2``, ... without them or if their number differs.
        date_column: the CSV file's or DataFrame's column of dates.
        date_format: how the dates are written where they are text; found out by default.
        encoding: the CSV file's.

    Raises:
        SeriesError: values are missing or are no numbers, or dates are missing or go backwards.
    """
    if isinstance(source, (str, Path)):
        return read_csv(source, date_column=date_column, date_format=date_format, encoding=encoding)
    if isinstance(source, pd.DataFrame):
        return read_frame(source, date_column=date_column, date_format=date_format)
    values = np.asarray(source)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
        raise SeriesError(
            f"the array has shape {values.shape} and type {values.dtype}. Fix: give numbers (steps, variates)"
        )
    if columns is None or len(columns) != values.shape[1]:
        columns = [f"x{i + 1}" for i in range(values.shape[1])]
    _require_finite(values, columns, "the array")
    return Series(values.astype(np.float64), None, tuple(columns), "the array")


def _require_finite(values: np.ndarray, columns: tuple[str, ...] | list[str], name: str) -> None:
    bad = ~np.isfinite(values.astype(np.float64))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise SeriesError(
            f"{name} has {bad.sum()} missing or infinite values, the first in row {row}, column {columns[column]!r}. "
            "Fix: fill them (for example with DataFrame.interpolate) or drop the column"
        )


def choose_scaler(series: Series, meta: dict, fit: bool, row: int) -> tuple[Series, np.ndarray, np.ndarray]:
    """Return the series with the columns of the scaler in its order, and mean and deviation (V,).

    Args:
        series: the whole input.
        meta: what the checkpoint says about its training data: ``columns``, ``mean``, ``std``; or nothing.
        fit: take mean and deviation of the input itself, of the rows that the forecast may know.
        row: where the forecast begins; what follows is not known to it.

    Raises:
        SeriesError: the input lacks columns that the model was trained on, and ``fit`` is False.
    """
    columns = list(meta.get("columns", ()))
    if not fit and not {"columns", "mean", "std"} <= set(meta):
        warnings.warn(
            "the checkpoint does not say how its training data was scaled, so the given history's own mean and "
            "deviation are used. A checkpoint of our training says it; for another pass "
            "dataset_meta=dict(columns=..., mean=..., std=...)",
            stacklevel=3,
        )
        fit = True
    if fit:
        known = series.values[:row]
        deviation = known.std(0)
        return series, known.mean(0), np.where(deviation > 0, deviation, 1.0)
    missing = [name for name in columns if name not in series.columns]
    if missing:
        raise SeriesError(
            f"{series.path} lacks {len(missing)} of the {len(columns)} columns that the model was trained on: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. "
            "Fix: add or rename them, or pass fit_scaler=True to forecast other variates, scaled by their own history"
        )
    extra = [name for name in series.columns if name not in columns]
    if extra:
        warnings.warn(
            f"{series.path} has {len(extra)} columns that the model was not trained on; they are left out: "
            f"{', '.join(extra[:5])}{', ...' if len(extra) > 5 else ''}",
            stacklevel=3,
        )
    return series.select(columns), np.asarray(meta["mean"]), np.asarray(meta["std"])


def first_row(series: Series, start: int | str | pd.Timestamp | None, seq_len: int, freq: str | None = None) -> int:
    """Return the row where the forecast begins; None is the row after the last.

    Args:
        series: the whole input.
        start: a row, negative from the end, or a date; a date without a time zone is one of the series' own zone.
        seq_len: how many rows must come before it.
        freq: step of the dates beyond the input; by default what the input's dates say.

    Raises:
        SeriesError: fewer than ``seq_len`` rows come before it, or it lies beyond the input.
        ValueError: ``start`` is no date, or the input has no dates to compare it with.
    """
    rows = len(series.values)
    if start is None:
        row = rows
    elif isinstance(start, (int, np.integer)):
        row = int(start) + (rows if start < 0 else 0)
    elif series.dates is None:
        raise ValueError(f"start={start!r} is a date, but {series.path} has no dates: give a row number")
    else:
        row = _row_of_date(series, start, seq_len, freq)
    if not 0 <= row <= rows:
        raise SeriesError(f"start={start!r} lies outside {series.path}, which has {rows} rows")
    if row < seq_len:
        raise SeriesError(
            f"{series.path}: {row} rows come before the forecast, but the model reads seq_len={seq_len}. "
            "Fix: give a longer history, a later start, or a model with a shorter seq_len"
        )
    return row


def _row_of_date(series: Series, start: str | pd.Timestamp, seq_len: int, freq: str | None) -> int:
    """Return the first row at or after a date, which may be the one that follows the last row."""
    dates = series.dates
    try:
        date = pd.Timestamp(start)
    except (ValueError, TypeError) as fault:
        raise ValueError(
            f"start={start!r} is neither a row nor a date. Fix: give a row number, or a date like '2024-01-31 13:00'"
        ) from fault
    if date is pd.NaT:
        raise ValueError(f"start={start!r} is no date. Fix: give a row number, or a date like '2024-01-31 13:00'")
    if dates.tz is None and date.tz is not None:
        raise ValueError(
            f"start={start!r} has a time zone, the dates of {series.path} have none. Fix: give start without one"
        )
    if dates.tz is not None and date.tz is None:
        date = date.tz_localize(dates.tz, ambiguous=True, nonexistent="shift_forward")
    if date > dates[-1]:
        following = future_dates(dates[-4 * seq_len :], 1, freq)[0]
        if date > following:
            raise SeriesError(
                f"start={start!r} lies outside {series.path}, which ends at {dates[-1]}: a forecast begins at "
                f"{following} at the latest. Fix: give an earlier start, or the rows up to it"
            )
    return int(dates.searchsorted(date))


def rows_of(series: Series, rows: slice) -> pd.Index:
    """Return the dates of rows, or their numbers where the series has no dates."""
    if series.dates is not None:
        return series.dates[rows].rename("date")
    return pd.RangeIndex(len(series.values), name="row")[rows]


def forecast_rows(series: Series, row: int, length: int, seq_len: int, freq: str | None = None) -> pd.Index:
    """Return the dates (or row numbers) of a forecast: the series' own as far as they go, then further ones.

    Args:
        series: the whole input.
        row: where the forecast begins.
        length: how many rows it has.
        seq_len: rows that the model reads; the step of the dates is that of four times as many.
        freq: step of the dates beyond the input; by default what the input's dates say.

    Raises:
        SeriesError: the dates have no one step, and ``freq`` does not say it.
    """
    own = rows_of(series, slice(row, row + length))
    if len(own) == length:
        return own
    if series.dates is None:
        return pd.RangeIndex(row, row + length, name="row")
    return own.append(future_dates(series.dates[-4 * seq_len :], length - len(own), freq)).rename("date")


def time_marks(series: Series, dates: pd.Index, meta: Mapping[str, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the time features (T, M) that a model was trained with, float32, and their names.

    Args:
        series: the input, for the error.
        dates: of the rows, or their numbers where the series has no dates.
        meta: what is known of the training data: ``time_features``, which are not off; ``freq`` or ``quarter_hours``.

    Raises:
        SeriesError: the series has no dates.
    """
    if not isinstance(dates, pd.DatetimeIndex):
        raise SeriesError(
            f"the model was trained with time features, but {series.path} has no dates. "
            "Fix: give a DataFrame with dates as its index, or a CSV file with a column 'date'"
        )
    if meta["time_features"] == "calendar":
        marks = calendar_features(dates, quarter_hours=meta["quarter_hours"])
        return marks.astype(np.float32), CALENDAR[: marks.shape[1]]
    return time_features(dates, meta["freq"]).astype(np.float32), feature_names(meta["freq"])
