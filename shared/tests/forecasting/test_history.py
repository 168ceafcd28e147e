"""The history that a forecast is made from."""

import numpy as np
import pandas as pd
import pytest

from mmrepro.datasets.series import SeriesError
from mmrepro.forecasting.history import choose_scaler, first_row, forecast_rows, rows_of, time_marks, to_series

HOURS = pd.date_range("2024-01-01", periods=30, freq="h", name="date")


def table(columns=("a", "b")):
    values = np.arange(30.0 * len(columns)).reshape(30, len(columns))
    return pd.DataFrame(values, HOURS, list(columns))


def test_a_history_that_does_not_move_is_scaled_by_one():
    constant = to_series(np.full((30, 2), 7.0))
    with pytest.warns(UserWarning, match="scaled"):
        _, mean, std = choose_scaler(constant, {}, fit=False, row=30)
    assert mean.tolist() == [7.0, 7.0]
    assert std.tolist() == [1.0, 1.0]


def test_columns_take_the_order_of_the_training_and_others_are_left_out():
    meta = {"columns": ["b", "a"], "mean": [1.0, 2.0], "std": [3.0, 4.0]}
    with pytest.warns(UserWarning, match="1 columns that the model was not trained on"):
        series, mean, std = choose_scaler(to_series(table("abc")), meta, fit=False, row=30)
    assert (series.columns, mean.tolist(), std.tolist()) == (("b", "a"), [1.0, 2.0], [3.0, 4.0])
    with pytest.raises(SeriesError, match="lacks 1 of the 2 columns"):
        choose_scaler(to_series(table("ac")), meta, fit=False, row=30)


def test_a_forecast_has_the_known_dates_and_then_further_ones():
    series = to_series(table())
    row = first_row(series, "2024-01-02 04:00", seq_len=24)
    assert row == 28
    expected = pd.date_range("2024-01-02 04:00", periods=4, freq="h", name="date")
    pd.testing.assert_index_equal(forecast_rows(series, row, 4, 24), expected, exact=False)
    pd.testing.assert_index_equal(rows_of(series, slice(0, 3)), HOURS[:3], exact=False)
    numbered = to_series(table().to_numpy())
    assert list(forecast_rows(numbered, 28, 4, 24)) == [28, 29, 30, 31]
    assert list(rows_of(numbered, slice(27, 40))) == [27, 28, 29]


def test_time_features_are_those_of_the_training():
    series = to_series(table())
    calendar, names = time_marks(series, HOURS, {"time_features": "calendar", "quarter_hours": False})
    assert names == ("month", "day", "weekday", "hour")
    assert calendar[25].tolist() == [1, 2, 1, 1]  # a Tuesday
    marks, names = time_marks(series, HOURS, {"time_features": True, "freq": "h"})
    assert marks.shape == (30, len(names)) == (30, 4)
    with pytest.raises(SeriesError, match="the array has no dates"):
        time_marks(to_series(np.ones((3, 1))), pd.RangeIndex(3), {"time_features": True, "freq": "h"})
