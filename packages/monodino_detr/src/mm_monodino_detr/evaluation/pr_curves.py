"""Drawings of precision over recall."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mm_monodino_detr.evaluation.kitti_ap import MEASURES, POINTS, STRICT, Curves


def draw_curves(every: Sequence[Curves], path: str | Path, overlaps: int = STRICT) -> Path:
    """Draw the curves of classes, a row each, and measures, a column each, into a PNG file; return its path.

    The legend holds the average precision at 40 points of each level.

    Args:
        every: one or more classes, with the same measures.
        path: the file; its folder is made.
        overlaps: ``STRICT`` or ``LOOSE``.

    Raises:
        ValueError: there are no curves.
    """
    from matplotlib.figure import Figure  # slow to import, and the metric needs it not

    from mmrepro.figures import write_figure

    if not every:
        raise ValueError("no curves to draw. Fix: name a class")
    measures = list(every[0].measures())
    figure = Figure(figsize=(3.4 * len(measures), 3.1 * len(every)), layout="constrained")
    grid = figure.subplots(len(every), len(measures), squeeze=False, sharex=True, sharey=True)
    recall = np.linspace(0, 1, POINTS)
    for row, curves in enumerate(every):
        for column, measure in enumerate(measures):
            axis = grid[row][column]
            values = curves.measures()[measure][:, overlaps]
            averages = curves.average(measure, overlaps=overlaps)
            for level, curve, average in zip(curves.levels, values, averages, strict=True):
                axis.plot(recall, curve, label=f"{level} {average:.2f}", linewidth=1.6)
            least = curves.overlaps[overlaps][MEASURES.index("2D" if measure == "AOS" else measure)]
            axis.set_title(f"{curves.name}, {measure}, overlap > {least:g}", fontsize=9)
            axis.legend(fontsize=8, frameon=False, loc="upper right")
            axis.grid(alpha=0.25)
            axis.set(xlim=(0, 1), ylim=(0, 1.02))
            if row == len(every) - 1:
                axis.set_xlabel("recall")
        grid[row][0].set_ylabel("precision (AOS: similarity)")
    return write_figure(figure, path)
