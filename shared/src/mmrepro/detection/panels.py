"""Figures of detections: pictures in panels, with boxes and tags that stay in their panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

COLOURS = ("#d1495b", "#00798c", "#e8a33d", "#5b4fc4", "#2f9e44", "#c2185b", "#1f6fb2", "#8d5524")
"""Of classes, or of objects, in turn."""


def panels(picture: np.ndarray, count: int, columns: int = 3, side: float = 4.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with the same picture several times.

    Args:
        picture: RGB ``(H, W, 3)`` uint8.
        count: how many times; a single one is large.
        columns: how many of them in a row at most.
        side: width of a panel in inches.
    """
    height, width = picture.shape[:2]
    columns = min(count, columns)
    rows = -(-count // columns)
    side = side if count > 1 else 7.0
    figure = Figure(figsize=(side * columns + 0.4, side * rows * height / width + 0.6), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axis in axes:
        show(axis, picture)
    return figure, axes


def show(axis: Axes, picture: np.ndarray) -> None:
    """Show a picture in its own frame: boxes may stick out."""
    height, width = picture.shape[:2]
    axis.imshow(picture)
    axis.set_axis_off()
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def box(axis: Axes, corners: Sequence[float], colour: object, width: float, linestyle: str = "-") -> None:
    """Draw the outline of a box (x1, y1, x2, y2) in pixels, ``width`` points thick."""
    left, top, right, bottom = corners
    style = dict(fill=False, edgecolor=colour, linewidth=width, linestyle=linestyle)
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, **style))


def tag(axis: Axes, left: float, top: float, text: str, colour: object, size: float = 8) -> None:
    """Write a text above a box's corner, or within the picture's edge where the box sticks out."""
    (start, end), (bottom, edge) = axis.get_xlim(), axis.get_ylim()
    left, top = min(max(left, start), end), min(max(top, edge), bottom)
    back = dict(facecolor=colour, alpha=0.8, pad=0.8, lw=0)
    axis.text(left, top, text, color="white", fontsize=size, va="bottom", bbox=back)


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """Return what a label is called."""
    return classes[label] if classes is not None and label < len(classes) else f"class {label}"
