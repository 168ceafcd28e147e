"""The curves of one variate: what was known, what is forecast, and what followed."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

HISTORY, FORECAST, TRUTH = "#4c566a", "#d1495b", "#00798c"


def draw_variate(axis: Axes, history: pd.Series, forecast: pd.Series, truth: pd.Series | None = None) -> None:
    """Draw a variate; forecast and truth begin at the last known value, so that the lines meet.

    Args:
        axis: where to draw; its legend has the labels ``history``, ``truth`` and ``forecast``.
        history: what the forecast was made from, by date or row.
        forecast: the steps after it.
        truth: what followed, where that is known.
    """
    last = history.iloc[-1:]
    axis.plot(history.index, history, color=HISTORY, linewidth=1.0, label="history")
    if truth is not None:
        joined = pd.concat([last, truth])
        axis.plot(joined.index, joined, color=TRUTH, linewidth=1.0, label="truth")
    joined = pd.concat([last, forecast])
    axis.plot(joined.index, joined, color=FORECAST, linewidth=1.4, label="forecast")
    axis.axvline(forecast.index[0], color="0.75", linewidth=0.8, linestyle=":")
    axis.grid(alpha=0.25)
    axis.margins(x=0.01)
