"""The encodings of all modalities in one plane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mmrepro.figures import write_figure

_MARKS = "osD^v<>Pp*Xh"


def principal_plane(encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components ``(S, 2)``, and the shares of the variance that they hold.

    Encodings are scaled to length 1 first, so that no modality lies far out for the size of its features alone.

    Args:
        encodings: ``(S, C)``.
    """
    unit = encodings / np.linalg.norm(encodings, axis=1, keepdims=True)
    left, sizes, _ = np.linalg.svd(unit - unit.mean(0), full_matrices=False)
    return left[:, :2] * sizes[:2], sizes[:2] ** 2 / (sizes**2).sum()


def draw_encodings(encodings: Mapping[str, np.ndarray], path: str | Path) -> Path:
    """Draw the encodings of several modalities in the plane of their first two principal components.

    Args:
        encodings: by modality, ``(S, C)`` of one width.
        path: the PNG file.

    Raises:
        ValueError: the encodings are of several widths.
    """
    widths = {name: one.shape[1] for name, one in encodings.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"encodings of several widths have no common plane: {widths}. Fix: encoders of one width")
    places, shares = principal_plane(np.concatenate(list(encodings.values())))
    figure = Figure(figsize=(7.4, 5.2), layout="constrained")
    axis = figure.subplots()
    colours, start = mpl.colormaps["tab20"].resampled(20), 0
    for number, (name, one) in enumerate(encodings.items()):
        part, start = places[start : start + len(one)], start + len(one)
        style = dict(color=colours(number % 20), marker=_MARKS[number % len(_MARKS)])
        axis.scatter(*part.T, s=28, alpha=0.85, edgecolors="white", linewidths=0.4, label=name, **style)
    axis.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
    axis.set_ylabel(f"second component, {shares[1]:.0%} of the variance")
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axis.grid(alpha=0.25)
    return write_figure(figure, path)
