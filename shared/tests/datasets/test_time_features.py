"""Calendar features: the ends of their ranges, and names of frequencies."""

import numpy as np
import pandas as pd
import pytest

from mmrepro.datasets.time_features import FEATURES_BY_FREQ, calendar_features, feature_names, time_features

FIRST = pd.DatetimeIndex(["2018-01-01 00:00:00"])  # a Monday
LAST = pd.DatetimeIndex(["2000-12-31 23:59:59"])  # a Sunday in a leap year


@pytest.mark.parametrize("freq", FEATURES_BY_FREQ)
def test_features_run_from_minus_one_half_to_one_half(freq):
    assert (time_features(FIRST, freq) == -0.5).all()
    last = dict(zip(feature_names(freq), time_features(LAST, freq)[0], strict=True))
    week = last.pop("week", None)
    assert all(value == 0.5 for value in last.values())
    assert week in (None, 51 / 52 - 0.5)


def test_one_value_per_stamp_and_feature():
    dates = pd.date_range("2020-01-01", periods=50, freq="7min")
    np.testing.assert_allclose(time_features(dates, "7min")[:, 0], dates.minute / 59 - 0.5)
    assert time_features(dates, "H").shape == (50, 4)


@pytest.mark.parametrize(
    ("freq", "same"),
    [("ME", "m"), ("MS", "m"), ("BMS", "m"), ("QE-DEC", "q"), ("W-SUN", "w"), ("D", "d"), ("B", "b"), ("T", "min")],
)
def test_the_spellings_of_pandas(freq, same):
    assert feature_names(freq) == feature_names(same)


def test_milliseconds_are_not_months():
    with pytest.raises(ValueError, match=r"freq='ms' is not known"):
        feature_names("ms")


def test_an_unknown_frequency_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"freq='fortnight' is not known. Fix: use one of s, t, min, h"):
        time_features(FIRST, "fortnight")


def test_calendar_features_are_integers():
    np.testing.assert_array_equal(calendar_features(LAST), [[12, 31, 6, 23]])
    np.testing.assert_array_equal(calendar_features(LAST, quarter_hours=True), [[12, 31, 6, 23, 3]])
