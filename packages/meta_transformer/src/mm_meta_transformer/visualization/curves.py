"""Views of what runs along one axis: windows of sensors, forecasts and spectra; and land-cover maps of scenes."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mm_meta_transformer.prediction import MetaPrediction
from mm_meta_transformer.visualization.view import HEAT, View, spread
from mmrepro.forecasting.curves import draw_variate

_VARIATES = 8  # curves of a figure


class _CurveView(View):
    """Curves over steps, and a strip of a value for each step behind them."""

    unit = "step"

    def curves(self) -> np.ndarray:
        """Return what is drawn, ``(T, V)``."""
        raise NotImplementedError

    def sample(self, axis: Axes) -> None:
        """Draw the curves."""
        axis.plot(self.curves(), linewidth=0.8)
        _plain(axis, self.unit)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the values behind the curves, which are scaled to one height."""
        curves = self.curves()
        low, high = curves.min(0), curves.max(0)
        vmin, vmax = spread(values)
        extent = (-0.5, len(values) - 0.5, -0.05, 1.05)
        axis.imshow(values[None], cmap=HEAT, alpha=0.75, aspect="auto", extent=extent, vmin=vmin, vmax=vmax)
        scaled = (curves - low) / np.where(high > low, high - low, 1)
        axis.plot(np.linspace(0, len(values) - 1, len(scaled)), scaled, color="white", linewidth=0.6, alpha=0.8)
        axis.set_yticks([])
        _plain(axis, self.unit)


class WindowView(_CurveView):
    """A window of inertial sensors."""

    def curves(self) -> np.ndarray:
        """Return the channels."""
        return self.raw["window"]


class SpectrumView(_CurveView):
    """The spectrum of a pixel."""

    unit = "band"

    def curves(self) -> np.ndarray:
        """Return the spectrum."""
        return np.asarray(self.raw["spectrum"], np.float64)[:, None]


class ForecastView(_CurveView):
    """The window before a forecast, and the forecast of the last variate."""

    def curves(self) -> np.ndarray:
        """Return the window, each variate scaled by the training's mean and deviation."""
        mean, std = self.raw["scale"]
        return (self.raw["history"].to_numpy() - mean) / std

    def result(self, axis: Axes) -> None:
        """Draw the last variate: what was known, what is forecast, and what followed where that is known."""
        _variate(axis, self.prediction, self.prediction.forecast.columns[-1])
        axis.legend(fontsize=7, frameon=False)


class SceneView(View):
    """A hyperspectral scene in three of its bands, and the class of each pixel."""

    def sample(self, axis: Axes) -> None:
        """Draw three bands, of long to short waves, as red, green and blue."""
        scene = self.raw["scene"]
        shown = scene[..., [int(share * (scene.shape[2] - 1)) for share in (0.75, 0.45, 0.15)]].astype(np.float64)
        low, high = np.percentile(shown, (2, 98), axis=(0, 1))
        axis.imshow(((shown - low) / np.where(high > low, high - low, 1)).clip(0, 1), interpolation="nearest")
        axis.axis("off")

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Scenes have no tokens of their own.

        Raises:
            ValueError: always.
        """
        raise ValueError("a scene is classified pixel by pixel: draw the tokens of a spectrum")

    def result(self, axis: Axes) -> None:
        """Draw the land-cover map."""
        draw_land_cover(axis, self.prediction)


def draw_land_cover(axis: Axes, prediction: MetaPrediction) -> None:
    """Draw the class of each pixel, with a legend of the classes that there are."""
    palette = mpl.colormaps["tab20"].resampled(20)
    labels = np.unique(prediction.land_cover)
    axis.imshow(palette(prediction.land_cover % 20), interpolation="nearest")
    axis.axis("off")
    handles = [Patch(color=palette(int(label) % 20), label=prediction.classes[label]) for label in labels]
    axis.legend(handles=handles, fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def forecast_figure(prediction: MetaPrediction) -> Figure:
    """Return the forecast curves of the first eight variates, a panel for each."""
    names = list(prediction.forecast.columns[:_VARIATES])
    wide = 2 if len(names) > 2 else 1
    figure = Figure(figsize=(5.6 * wide, 0.6 + 1.9 * math.ceil(len(names) / wide)), layout="constrained")
    axes = figure.subplots(math.ceil(len(names) / wide), wide, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        _variate(axis, prediction, name)
        axis.set_title(name, fontsize=9, loc="left")
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _variate(axis: Axes, prediction: MetaPrediction, name: str) -> None:
    history, truth = prediction.sample.raw["history"][name], prediction.sample.raw["truth"]
    draw_variate(axis, history, prediction.forecast[name], None if truth is None else truth[name])
    if history.index.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.tick_params(labelsize=8)


def _plain(axis: Axes, label: str) -> None:
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.margins(x=0)
