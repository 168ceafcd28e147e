"""Numbers that stand for a missing measurement, such as -9999, replaced by the last measurement before them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmrepro.datasets.series import Series, SeriesError, SeriesWarning


def fill_missing(series: Series, missing_values: Sequence[float]) -> Series:
    """Return the series with every cell that equals one of ``missing_values`` filled; warn of how many there are.

    A cell takes the value above it, so nothing of the future gets into a window; at the beginning of a column, where
    there is none, the first one below. Without ``missing_values`` the series itself is returned.

    Raises:
        SeriesError: a column has no measurement at all.
    """
    if not missing_values:
        return series
    missing = np.isin(series.values, missing_values)
    if not missing.any():
        return series
    empty = np.flatnonzero(missing.all(axis=0))
    if len(empty):
        raise SeriesError(
            f"{series.path}: column {series.columns[empty[0]]!r} holds nothing but missing_values ({len(empty)} such "
            "columns). Fix: leave it out with variates"
        )
    counts = {series.columns[i]: int(missing[:, i].sum()) for i in np.flatnonzero(missing.any(axis=0))}
    shown = ", ".join(f"{name!r} {count}" for name, count in list(counts.items())[:5])
    warnings.warn(
        f"{series.path}: {missing.sum()} cells hold one of missing_values={list(missing_values)} and take the value "
        f"above them, in {len(counts)} columns: {shown}{', ...' if len(counts) > 5 else ''}",
        SeriesWarning,
        stacklevel=2,
    )
    values = pd.DataFrame(np.where(missing, np.nan, series.values)).ffill().bfill().to_numpy()
    return dataclasses.replace(series, values=values)
