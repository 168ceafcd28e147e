"""What goes into a forecast and what comes out: a history in original units, and the steps that follow it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmrepro.datasets.series import Series, SeriesError, read_csv


@dataclass(frozen=True)
class Forecast:
    """A forecast of one series, in original units.

    Tables have one row per time step, indexed by date (or by row number where the input has no dates), and one column
    per variate.

    Attributes:
        values: the forecast (S, V).
        history: the window that it was made from (T, V).
        truth: what really followed, as far as the input holds it (at most S rows); None if nothing did.
        tokens: names of the variates and, after them, of the covariates.
        attention: weights (e_layers, h, N, N) between the tokens, row attends to column; None unless asked for.
    """

    values: pd.DataFrame
    history: pd.DataFrame
    truth: pd.DataFrame | None
    tokens: tuple[str, ...]
    attention: np.ndarray | None = None

    def errors(self) -> dict[str, float]:
        """Return ``mse`` and ``mae`` against the known truth, beside those of repeating the last value.

        Raises:
            ValueError: the truth is not known.
        """
        if self.truth is None:
            raise ValueError(
                "nothing follows the history: pass start= to forecast a stretch that the input already holds"
            )
        truth = self.truth.to_numpy()
        trials = {"": self.values.to_numpy()[: len(truth)], "baseline_": self.history.to_numpy()[-1:]}
        errors = {}
        for name, trial in trials.items():
            errors[f"{name}mse"] = float(np.mean((trial - truth) ** 2))
            errors[f"{name}mae"] = float(np.mean(np.abs(trial - truth)))
        return errors


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
        date_format: how the dates of a CSV file are written; found out by default.
        encoding: the CSV file's.

    Raises:
        SeriesError: values are missing or are no numbers, or dates are missing or go backwards.
    """
    if isinstance(source, (str, Path)):
        return read_csv(source, date_column=date_column, date_format=date_format, encoding=encoding)
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, date_column)
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


def _from_frame(frame: pd.DataFrame, date_column: str) -> Series:
    dates = None
    if date_column in frame.columns:
        try:
            dates = pd.DatetimeIndex(pd.to_datetime(frame[date_column]))
        except (ValueError, TypeError) as error:
            raise SeriesError(
                f"the DataFrame's column {date_column!r} holds no dates ({error}). "
                "Fix: convert it with pandas.to_datetime"
            ) from error
        frame = frame.drop(columns=date_column)
    elif isinstance(frame.index, pd.DatetimeIndex):
        dates = frame.index
    if dates is not None and not (dates.notna().all() and dates.is_monotonic_increasing):
        raise SeriesError("the DataFrame's dates have gaps (NaT) or go backwards. Fix: fill them and sort_index()")
    wrong = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if wrong:
        raise SeriesError(
            f"the DataFrame's column {wrong[0]!r} holds no numbers ({len(wrong)} such columns). "
            "Fix: convert it with pandas.to_numeric, or drop it"
        )
    columns = tuple(str(name) for name in frame.columns)
    values = frame.to_numpy(np.float64)
    _require_finite(values, columns, "the DataFrame")
    return Series(values, dates, columns, "the DataFrame")


def _require_finite(values: np.ndarray, columns: tuple[str, ...] | list[str], name: str) -> None:
    bad = ~np.isfinite(values.astype(np.float64))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise SeriesError(
            f"{name} has {bad.sum()} missing or infinite values, the first in row {row}, column {columns[column]!r}. "
            "Fix: fill them (for example with DataFrame.interpolate) or drop the column"
        )


def choose_scaler(series: Series, meta: dict, fit: bool) -> tuple[Series, np.ndarray, np.ndarray]:
    """Return the series with the columns of the scaler in its order, and mean and deviation (V,).

    Args:
        series: the whole input.
        meta: what the checkpoint says about its training data: ``columns``, ``mean``, ``std``; or nothing.
        fit: take mean and deviation of the input itself.

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
        deviation = series.values.std(0)
        return series, series.values.mean(0), np.where(deviation > 0, deviation, 1.0)
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


def first_row(series: Series, start: int | str | pd.Timestamp | None, seq_len: int) -> int:
    """Return the row where the forecast begins; None is the row after the last.

    Raises:
        SeriesError: fewer than ``seq_len`` rows come before it, or it lies beyond the input.
        ValueError: a date was given and the input has none.
    """
    rows = len(series.values)
    if start is None:
        row = rows
    elif isinstance(start, (int, np.integer)):
        row = int(start) + (rows if start < 0 else 0)
    elif series.dates is None:
        raise ValueError(f"start={start!r} is a date, but {series.path} has no dates: give a row number")
    else:
        row = int(series.dates.searchsorted(pd.Timestamp(start)))
    if not 0 <= row <= rows:
        raise SeriesError(f"start={start!r} lies outside {series.path}, which has {rows} rows")
    if row < seq_len:
        raise SeriesError(
            f"{series.path}: {row} rows come before the forecast, but the model reads seq_len={seq_len}. "
            "Fix: give a longer history, a later start, or a model with a shorter seq_len"
        )
    return row
