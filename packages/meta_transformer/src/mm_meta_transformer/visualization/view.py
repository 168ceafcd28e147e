"""How a modality is drawn: the sample, values of its tokens over it, and what was predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes

from mm_meta_transformer.prediction import MetaPrediction

HEAT = "inferno"
SHOWN = 8  # classes of a bar chart, best first
_LONGEST = 18  # characters of a class's name


class View(ABC):
    """Draw a prediction of one modality into axes.

    Args:
        prediction: with the tokens and the attention that are to be drawn.

    Attributes:
        projection: of the sample's axes.
    """

    projection: ClassVar[str | None] = None

    def __init__(self, prediction: MetaPrediction) -> None:
        self.prediction = prediction
        self.raw = prediction.sample.raw

    @abstractmethod
    def sample(self, axis: Axes) -> None:
        """Draw the sample."""

    @abstractmethod
    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the sample with a value of each token ``(N,)``, class tokens left out."""

    def result(self, axis: Axes) -> None:
        """Draw the prediction: by default the scores of the best classes, or a number."""
        one = self.prediction
        if one.scores is not None:
            draw_scores(axis, one)
        elif one.value is not None:
            write_big(axis, f"{one.value:.4g}")
        else:
            axis.axis("off")


def draw_scores(axis: Axes, prediction: MetaPrediction) -> None:
    """Draw the scores of the best classes as bars."""
    best = np.argsort(-prediction.scores, kind="stable")[:SHOWN]
    names = [shortened(prediction.classes[label]) for label in best]
    colours = ["#00798c" if label == prediction.label else "#b8c4c9" for label in best]
    axis.barh(range(len(best)), prediction.scores[best], color=colours)
    axis.set_yticks(range(len(best)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def write_big(axis: Axes, text: str) -> None:
    """Write a text into the middle of axes."""
    axis.axis("off")
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=18, transform=axis.transAxes)


def shortened(name: str) -> str:
    """Return a name that fits beside a bar."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def spread(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a colour scale that shows differences: the smallest and the largest value."""
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1e-12
