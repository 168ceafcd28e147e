"""Calendar features of time stamps, as the Informer family of codes computes them.

``time_features`` is its ``timeenc=1`` (floats in [-0.5, 0.5]), ``calendar_features`` its ``timeenc=0`` (integers).
Source: ``utils/timefeatures.py`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

_FEATURES: dict[str, Callable[[pd.DatetimeIndex], np.ndarray]] = {
    "second": lambda dates: dates.second / 59 - 0.5,
    "minute": lambda dates: dates.minute / 59 - 0.5,
    "hour": lambda dates: dates.hour / 23 - 0.5,
    "weekday": lambda dates: dates.day_of_week / 6 - 0.5,  # Monday is 0
    "day": lambda dates: (dates.day - 1) / 30 - 0.5,
    "day of year": lambda dates: (dates.day_of_year - 1) / 365 - 0.5,
    "week": lambda dates: (dates.isocalendar().week - 1) / 52 - 0.5,
    "month": lambda dates: (dates.month - 1) / 11 - 0.5,
}

_DAILY = ("weekday", "day", "day of year")
_HOURLY = ("hour", *_DAILY)
_MINUTELY = ("minute", *_HOURLY)

FEATURES_BY_FREQ: dict[str, tuple[str, ...]] = {
    "s": ("second", *_MINUTELY),
    "t": _MINUTELY,
    "min": _MINUTELY,
    "h": _HOURLY,
    "d": _DAILY,
    "b": _DAILY,
    "w": ("day", "week"),
    "m": ("month",),
    "q": ("month",),
}
"""Names of the features by the letter of the sampling frequency."""

# What pandas calls the same: the letters of pandas 2.2 and later, starts and ends of calendar periods
_SPELLINGS = {"ME": "m", "MS": "m", "BME": "m", "BMS": "m", "QE": "q", "QS": "q", "BQE": "q", "BQS": "q"}


def feature_names(freq: str) -> tuple[str, ...]:
    """Return the names of the features for a frequency such as ``h``, ``15min``, ``d``, ``W-SUN`` or ``ME``.

    Raises:
        ValueError: the frequency is not known.
    """
    letter = freq.lstrip("0123456789").partition("-")[0]
    letter = _SPELLINGS.get(letter, letter.lower())  # "ms" would be milliseconds, so these keep their case
    try:
        return FEATURES_BY_FREQ[letter]
    except KeyError:
        known = ", ".join([*FEATURES_BY_FREQ, *_SPELLINGS])
        raise ValueError(
            f"freq={freq!r} is not known. Fix: use one of {known}, with a number before it or not"
        ) from None


def time_features(dates: pd.DatetimeIndex, freq: str = "h") -> np.ndarray:
    """Return (T, M) float64 features in [-0.5, 0.5], finest first; M depends on ``freq`` (4 for ``h``)."""
    return np.stack([np.asarray(_FEATURES[name](dates), np.float64) for name in feature_names(freq)], axis=1)


def calendar_features(dates: pd.DatetimeIndex, quarter_hours: bool = False) -> np.ndarray:
    """Return (T, 4) int32 month, day, weekday, hour; with ``quarter_hours`` a fifth, the quarter of the hour."""
    columns = [dates.month, dates.day, dates.day_of_week, dates.hour]
    if quarter_hours:
        columns.append(dates.minute // 15)
    return np.stack([np.asarray(column, np.int32) for column in columns], axis=1)
