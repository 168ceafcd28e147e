"""Views of what is written: pieces of words in a text, and the cells of a table's row."""

from __future__ import annotations

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from mm_meta_transformer.visualization.view import HEAT, View, shortened, spread

_COLUMNS, _LINES = 26, 14  # characters and lines of a text that fit into axes


class TextView(View):
    """A text, and its pieces on the colours of their values."""

    def sample(self, axis: Axes) -> None:
        """Write the text."""
        axis.axis("off")
        lines = textwrap.wrap(self.raw["text"], 34)
        lines = lines if len(lines) <= _LINES else [*lines[: _LINES - 1], "…"]
        axis.text(0, 1, "\n".join(lines), va="top", fontsize=9, transform=axis.transAxes)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Write the pieces, each on its colour."""
        axis.axis("off")
        axis.set_xlim(0, _COLUMNS)
        axis.set_ylim(_LINES, 0)
        scale, colours = Normalize(*spread(values)), mpl.colormaps[HEAT]
        column = line = 0
        for piece, value in zip(self.raw["pieces"], values, strict=True):
            if column and column + len(piece) > _COLUMNS:
                column, line = 0, line + 1
            if line == _LINES:
                break
            colour = colours(scale(value))
            axis.add_patch(mpl.patches.Rectangle((column, line + 0.08), len(piece), 0.84, color=colour, linewidth=0))
            dark = np.dot(colour[:3], (0.3, 0.6, 0.1)) < 0.5
            style = dict(family="monospace", fontsize=8, color="white" if dark else "black", ha="center", va="center")
            axis.text(column + len(piece) / 2, line + 0.5, piece, **style)
            column += len(piece) + 0.4


class RowView(View):
    """The cells of a row, and a bar for the value of each categorical column's token."""

    def sample(self, axis: Axes) -> None:
        """Write the columns and cells."""
        axis.axis("off")
        cells = list(self.raw["cells"].items())
        for place, (name, cell) in enumerate(cells):
            height = 1 - (place + 0.5) / len(cells)
            axis.text(
                0.46,
                height,
                shortened(name),
                ha="right",
                va="center",
                fontsize=8,
                color="0.4",
                transform=axis.transAxes,
            )
            axis.text(0.5, height, shortened(str(cell)), va="center", fontsize=8, transform=axis.transAxes)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw a bar for each token."""
        names = list(self.raw["cells"])[: len(values)]
        low, high = spread(values)
        colours = mpl.colormaps[HEAT]((values - low) / (high - low))
        axis.barh(range(len(values)), values, color=colours)
        axis.set_yticks(range(len(values)), [shortened(name) for name in names], fontsize=8)
        axis.set_xlim(left=min(0.0, low))
        axis.invert_yaxis()
        axis.tick_params(axis="x", labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
