"""The view of graphs: nodes and edges in a plane, so that their distances are those along the edges."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from scipy.sparse.csgraph import shortest_path

from mm_meta_transformer.datasets.graph_preparation import adjacency
from mm_meta_transformer.visualization.view import HEAT, View, spread

_STEPS = 200  # of the layout


class GraphView(View):
    """A graph, its nodes in the colours of their kinds; or nodes and edges in those of their tokens' values."""

    def sample(self, axis: Axes) -> None:
        """Draw the graph."""
        ends, places = self.raw["edges"], layout(self.raw["edges"], self.raw["count"])
        axis.add_collection(LineCollection(places[ends], colors="0.6", linewidths=1.2, zorder=1))
        kinds = np.unique(self.raw["nodes"], return_inverse=True)[1]
        axis.scatter(*places.T, c=mpl.colormaps["tab10"](kinds % 10), s=60, zorder=2)
        _square(axis)

    def heat(self, axis: Axes, values: np.ndarray) -> None:
        """Draw nodes and edges in the colours of their tokens' values; an edge has a token for each direction."""
        pairs, places = self.prediction.layout.pairs, layout(self.raw["edges"], self.raw["count"])
        scale, colours = Normalize(*spread(values)), mpl.colormaps[HEAT]
        nodes = pairs[:, 0] == pairs[:, 1]
        edges = LineCollection(places[pairs[~nodes]], colors=colours(scale(values[~nodes])), linewidths=2.5, zorder=1)
        axis.add_collection(edges)
        at = places[pairs[nodes, 0]]
        axis.scatter(*at.T, c=values[nodes], cmap=HEAT, norm=scale, s=70, edgecolors="0.5", linewidths=0.5, zorder=2)
        _square(axis)


def layout(ends: np.ndarray, count: int) -> np.ndarray:
    """Return places ``(N, 2)`` of nodes whose distances are near those along the edges (stress majorisation).

    Args:
        ends: the two nodes of each edge ``(E, 2)``, both directions listed.
        count: number of nodes.
    """
    wanted = shortest_path(adjacency(ends.T, count), unweighted=True)
    wanted[np.isinf(wanted)] = 1 + wanted[np.isfinite(wanted)].max()  # parts without a way between them
    places = np.random.default_rng(0).standard_normal((count, 2)) if count > 1 else np.zeros((1, 2))
    weights = np.divide(1, wanted**2, out=np.zeros_like(wanted), where=wanted > 0)
    inverse = np.linalg.pinv(np.diag(weights.sum(1)) - weights)
    for _ in range(_STEPS):
        found = np.linalg.norm(places[:, None] - places, axis=2)
        pull = np.divide(weights * wanted, found, out=np.zeros_like(found), where=found > 1e-9)
        places = inverse @ ((np.diag(pull.sum(1)) - pull) @ places)
    return places


def _square(axis: Axes) -> None:
    axis.set_aspect("equal")
    axis.margins(0.12)
    axis.axis("off")
