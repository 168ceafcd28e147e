"""The view of point clouds: points in space, the groups' centres in colours, and the classes of points."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mm_meta_transformer.visualization.view import HEAT, View, spread

_POINTS = 4096  # drawn of a large cloud


class CloudView(View):
    """A cloud; over it the values of its groups at their centres."""

    projection = "3d"

    def sample(self, axis: Axes) -> None:
        """Draw the points, coloured by height."""
        points = thinned(self.raw["points"])
        _scatter(axis, points, c=points[:, 2], cmap="viridis", s=4)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw the points in grey, and the groups' centres in the colours of their values."""
        _scatter(axis, thinned(self._read()), c="0.8", s=2, depthshade=False)
        low, high = spread(values)
        _scatter(axis, self.prediction.layout.centres, c=values, cmap=HEAT, vmin=low, vmax=high, s=22, depthshade=False)

    def result(self, axis: Axes) -> None:
        """Draw the points in the colours of their classes, or the scores of the whole cloud."""
        labels = self.prediction.points
        if labels is None:
            super().result(axis)
            return
        palette = mpl.colormaps["tab20"].resampled(20)
        points = self._read()
        points = points if len(points) == len(labels) else self.raw["points"]
        _scatter(axis, points, c=palette(labels % 20), s=4, depthshade=False)
        handles = [
            Line2D([], [], marker="o", linestyle="", color=palette(int(label) % 20), label=_name(self, label))
            for label in np.unique(labels)
        ]
        axis.legend(handles=handles, fontsize=7, frameon=False)

    def _read(self) -> np.ndarray:
        """Return the points that the network reads; of the first part, where a cloud is read in parts."""
        inputs = self.prediction.inputs
        points = inputs["points"] if isinstance(inputs, dict) else inputs
        return (points[0] if points.dim() == 3 else points).numpy()


def thinned(points: np.ndarray) -> np.ndarray:
    """Return evenly chosen points of a cloud that is too large to draw."""
    return points[:: max(1, -(-len(points) // _POINTS))]


def _name(view: CloudView, label: int) -> str:
    classes = view.prediction.classes
    return classes[label] if label < len(classes) else f"class {label}"


def _scatter(axis: Axes, points: np.ndarray, **style: object) -> None:
    axis.scatter(*points.T, linewidths=0, **style)
    sides = np.ptp([axis.get_xlim3d(), axis.get_ylim3d(), axis.get_zlim3d()], axis=1)
    axis.set_box_aspect(sides, zoom=1.4)
    axis.set_axis_off()
