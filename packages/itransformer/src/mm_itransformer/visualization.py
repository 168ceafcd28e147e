"""Drawings of forecasts: history, forecast and truth of chosen variates, and the attention between variates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from mm_itransformer.forecasting import Forecast
from mmrepro.forecasting.curves import draw_variate


def draw_forecast(forecast: Forecast, path: str | Path, columns: Sequence[str] | None = None, limit: int = 8) -> Path:
    """Draw one panel per variate and write a PNG.

    Args:
        forecast: what to draw.
        path: the file to write.
        columns: the variates to draw, by name; None for the first ``limit``.
        limit: how many to draw where ``columns`` is None.

    Raises:
        KeyError: a column is not in the forecast.
    """
    names = list(columns) if columns is not None else list(forecast.values.columns[:limit])
    unknown = [name for name in names if name not in forecast.values.columns]
    if unknown:
        raise KeyError(f"no column {unknown[0]!r} in the forecast; there are {', '.join(forecast.values.columns)}")
    wide = 2 if len(names) > 2 else 1
    high = math.ceil(len(names) / wide)
    figure = Figure(figsize=(6.2 * wide, 0.9 + 2.1 * high), layout="constrained")
    axes = figure.subplots(high, wide, sharex=True, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        truth = None if forecast.truth is None else forecast.truth[name]
        draw_variate(axis, forecast.history[name], forecast.values[name], truth)
        axis.set_title(name, fontsize=9, loc="left")
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    dated = isinstance(forecast.values.index, pd.DatetimeIndex)
    for column in range(wide):
        lowest = axes[max(i for i in range(len(names)) if i % wide == column)]
        lowest.set_xlabel("date" if dated else "row")
        lowest.tick_params(axis="x", labelbottom=True)
        if dated:
            locator = AutoDateLocator(maxticks=6)
            lowest.xaxis.set_major_locator(locator)
            lowest.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return _write(figure, path)


def draw_attention(forecast: Forecast, path: str | Path, layer: int = -1) -> Path:
    """Draw which variate attends to which, the mean over the heads of one layer, and write a PNG.

    Raises:
        ValueError: the forecast was made without its attention.
    """
    if forecast.attention is None:
        raise ValueError("the forecast holds no attention: make it with with_attention=True")
    weights = forecast.attention[layer].mean(0)
    number = range(len(forecast.attention))[layer] + 1
    tokens = len(forecast.tokens)
    side = min(max(4.0, 1.8 + 0.32 * tokens), 14.0)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(weights, cmap="viridis", vmin=0)
    figure.colorbar(image, ax=axis, label="attention weight", shrink=0.85)
    every = max(1, math.ceil(tokens / 40))  # more names than that overlap
    ticks = np.arange(0, tokens, every)
    names = [forecast.tokens[i] for i in ticks]
    axis.set_xticks(ticks, names, rotation=90, fontsize=8)
    axis.set_yticks(ticks, names, fontsize=8)
    axis.set_xlabel("attends to")
    axis.set_ylabel("token")
    axis.set_title(
        f"attention between variates, layer {number}, mean of {forecast.attention.shape[1]} heads", fontsize=9
    )
    return _write(figure, path)


def _write(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path
