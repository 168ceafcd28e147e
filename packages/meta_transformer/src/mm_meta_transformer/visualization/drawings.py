"""The drawings of a prediction, one figure for all modalities."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mm_meta_transformer.prediction import MetaPrediction
from mm_meta_transformer.visualization.clouds import CloudView
from mm_meta_transformer.visualization.curves import ForecastView, SceneView, SpectrumView, WindowView, forecast_figure
from mm_meta_transformer.visualization.graphs import GraphView
from mm_meta_transformer.visualization.grids import ClipView, PictureView, SpectrogramView
from mm_meta_transformer.visualization.view import View
from mm_meta_transformer.visualization.words import RowView, TextView
from mmrepro.engine.atomic_backend import write_atomically
from mmrepro.figures import write_figure

VIEWS: dict[str, type[View]] = {  # by what the reader left to draw
    "cells": RowView,
    "edges": GraphView,
    "frames": ClipView,
    "history": ForecastView,
    "picture": PictureView,
    "points": CloudView,
    "scene": SceneView,
    "spectrum": SpectrumView,
    "text": TextView,
    "waveform": SpectrogramView,
    "window": WindowView,
}
_WIDE, _HIGH = 3.3, 3.2  # inches of a panel


def draw_prediction(prediction: MetaPrediction, path: str | Path, truth: str | None = None) -> Path:
    """Draw a sample, its tokens' norms, the attention to them and the prediction side by side, and return the file.

    Tokens and attention are drawn where the prediction holds them.

    Args:
        prediction: what to draw.
        path: the PNG file.
        truth: the sample's label in words, written above the prediction.
    """
    view = next(kind for name, kind in VIEWS.items() if name in prediction.sample.raw)(prediction)
    panels = [("sample", view.projection, view.sample)]
    if prediction.tokens is not None:
        panels.append(("tokens: norms", view.projection, lambda axis: view.heat(axis, prediction.token_norms)))
    if prediction.attention is not None:
        panels.append(("attention", view.projection, lambda axis: view.heat(axis, prediction.token_attention)))
    flat = prediction.points is None
    panels.append((_said(prediction, truth), None if flat else view.projection, view.result))
    figure = Figure(figsize=(_WIDE * len(panels), _HIGH), layout="constrained")
    for place, (title, projection, draw) in enumerate(panels, 1):
        axis = figure.add_subplot(1, len(panels), place, projection=projection)
        draw(axis)
        axis.set_title(title, fontsize=9)
    return write_figure(figure, path)


def write_drawings(prediction: MetaPrediction, out_dir: str | Path, name: str) -> list[Path]:
    """Draw a prediction into a folder; of a forecast all variates and a table too. Return the files.

    Args:
        prediction: what to draw.
        out_dir: the folder.
        name: what the files begin with.
    """
    out_dir = Path(out_dir)
    files = [draw_prediction(prediction, out_dir / f"{name}.png")]
    if prediction.forecast is not None:
        files.append(write_figure(forecast_figure(prediction), out_dir / f"{name}_forecast.png"))
        files.append(out_dir / f"{name}_forecast.csv")
        write_atomically(prediction.forecast.to_csv(index_label=prediction.forecast.index.name).encode(), files[-1])
    return files


def _said(prediction: MetaPrediction, truth: str | None) -> str:
    if prediction.name is not None:
        said = f"{prediction.name} ({prediction.score:.2f})"
    elif prediction.forecast is not None:
        said = f"forecast of {prediction.forecast.columns[-1]}"
    elif prediction.land_cover is not None:
        said = "land cover"
    else:
        said = "prediction"
    return said if truth is None else f"{said}; true: {truth}"
