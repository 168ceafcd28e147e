"""Sentinels: filled from above, counted in a warning, never from the future."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mmrepro.datasets.missing_values import fill_missing
from mmrepro.datasets.series import Series, SeriesError, SeriesWarning


def series(*columns: list[float]) -> Series:
    values = np.array(columns, np.float64).T
    return Series(values, None, tuple("abc"[: len(columns)]), "table.csv")


def test_a_sentinel_takes_the_value_above_it_and_is_counted():
    given = series([1, -9999, -9999, 4, -1], [-9999, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    with pytest.warns(SeriesWarning, match=r"table\.csv: 3 cells .* in 2 columns: 'a' 2, 'b' 1"):
        filled = fill_missing(given, [-9999.0])
    np.testing.assert_array_equal(filled.values, series([1, 1, 1, 4, -1], [2, 2, 3, 4, 5], [1, 2, 3, 4, 5]).values)
    assert given.values[1, 0] == -9999


def test_several_sentinels():
    with pytest.warns(SeriesWarning, match=r"2 cells hold one of missing_values=\[-9999, -1\]"):
        filled = fill_missing(series([7, -9999, -1]), [-9999, -1])
    assert filled.values[:, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("missing_values", [(), (-9999.0,)])
def test_without_a_sentinel_nothing_is_done_or_said(missing_values):
    given = series([1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fill_missing(given, missing_values) is given


def test_a_column_without_a_measurement_is_named():
    with pytest.raises(SeriesError, match=r"table\.csv: column 'b' holds nothing but missing_values \(1 such"):
        fill_missing(series([1, 2], [-9999, -9999]), [-9999])
