"""From a graph's features and edges to what the graph tokenizer reads: codes, and eigenvectors of its Laplacian."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mm_meta_transformer.datasets.data_error import DataError

OFFSET = 512  # codes of one column of features


class GraphError(DataError):
    """A graph cannot be used; the text names it, its node or edge, and the fix."""


@TRANSFORMS.register_module()
class PrepareGraph(BaseTransform):
    """Make ``node_data``, ``edge_data``, ``edge_index`` and ``lap_eigvec`` of a graph.

    It reads ``node_features`` ``(N, F)``, ``edge_features`` ``(E, G)`` and ``edge_index`` ``(2, E)`` with both
    directions of every edge, as the Open Graph Benchmark has them. A node without edges is no error: its token has
    itself alone, and its degree counts as 1 (:meth:`.GraphDataset.load_data_list` counts such nodes).

    Args:
        num_eigenvectors: how many of the first eigenvectors to keep; smaller graphs are filled up with zeros.
        max_nodes: more are an error; the official collator leaves such graphs out.
        offset: codes that each column of features has for itself.

    Raises:
        GraphError: see :func:`check_graph`; or there are too many nodes.
    """

    def __init__(self, num_eigenvectors: int = 16, max_nodes: int = 128, offset: int = OFFSET) -> None:
        self.num_eigenvectors, self.max_nodes, self.offset = num_eigenvectors, max_nodes, offset

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the results with the four entries; ``node_data`` ``(N, F)``, ``edge_index`` ``(E, 2)``."""
        nodes, ends = np.asarray(results["node_features"]), np.asarray(results["edge_index"])
        edges, name = np.asarray(results["edge_features"]), results.get("path", "the graph")
        check_graph(nodes, ends, edges, name)
        if len(nodes) > self.max_nodes:
            raise GraphError(
                f"{name} has {len(nodes)} nodes, more than max_nodes={self.max_nodes} of PrepareGraph. "
                "Fix: leave it out of the data set, or a larger max_nodes"
            )
        vectors = laplacian_eigen(ends, len(nodes))[1][:, : self.num_eigenvectors]
        padded = np.zeros((len(nodes), self.num_eigenvectors), np.float32)
        padded[:, : vectors.shape[1]] = vectors
        results["node_data"], results["edge_data"] = (codes(one, name, self.offset) for one in (nodes, edges))
        results["edge_index"], results["lap_eigvec"] = ends.T.astype(np.int64), padded
        return results


def codes(features: np.ndarray, name: str = "the graph", offset: int = OFFSET) -> np.ndarray:
    """Return codes of features ``(N, F)`` that are unique over all columns; 0 is left for padding.

    Column ``f`` gets ``2 + offset * f`` added, as in the official preparation and collator together.

    Raises:
        GraphError: a feature is negative, or so large that its code is one of the next column.
    """
    features = features.astype(np.int64)
    wrong = np.argwhere((features < 0) | (features >= offset - 2))
    if len(wrong):
        row, column = wrong[0]
        raise GraphError(
            f"{name}: feature {column} of row {row} is {features[row, column]}. "
            f"Fix: number categories from 0 to {offset - 3}"
        )
    return features + 2 + offset * np.arange(features.shape[1])


def check_graph(nodes: np.ndarray, ends: np.ndarray, edges: np.ndarray, name: str = "the graph") -> None:
    """Look whether edges fit the nodes.

    Args:
        nodes: features ``(N, F)``.
        ends: the two nodes of each edge ``(2, E)``.
        edges: features ``(E, G)``.
        name: what an error calls the graph.

    Raises:
        GraphError: features are no table of whole numbers; there are no nodes; the numbers of edges differ; an edge
            names a node that does not exist; or one of an edge's two directions is not listed.
    """
    for what, features in (("node_features", nodes), ("edge_features", edges)):
        if features.ndim != 2 or (features.size and features.dtype.kind not in "iub"):
            raise GraphError(
                f"{name}: {what} are {features.dtype} of {features.shape}. Fix: whole numbers, the categories, in a "
                "row for each with a column for each feature"
            )
    if ends.dtype.kind not in "iu":
        raise GraphError(f"{name}: edge_index is {ends.dtype}. Fix: whole numbers, those of the nodes")
    count = len(nodes)
    if not count:
        raise GraphError(f"{name} has no nodes. Fix: leave it out")
    if ends.ndim != 2 or len(ends) != 2 or ends.shape[1] != len(edges):
        raise GraphError(f"{name}: edge_index is {ends.shape} for {len(edges)} edges. Fix: (2, {len(edges)})")
    outside = np.flatnonzero(((ends < 0) | (ends >= count)).any(0))
    if len(outside):
        edge = outside[0]
        raise GraphError(
            f"{name}: edge {edge} goes from node {ends[0, edge]} to node {ends[1, edge]}, but nodes are numbered from "
            f"0 to {count - 1}. Fix: the edge, or faults='drop' of the data set"
        )
    linked = adjacency(ends, count)
    one_way = np.argwhere(linked & ~linked.T)
    if len(one_way):
        start, end = one_way[0]
        raise GraphError(
            f"{name}: the edge from node {start} to node {end} is not listed from {end} to {start} as well. "
            "Fix: list both directions"
        )


def adjacency(ends: np.ndarray, count: int) -> np.ndarray:
    """Return which nodes are linked ``(N, N)``, bool, for edges ``(2, E)``."""
    linked = np.zeros((count, count), bool)
    linked[ends[0], ends[1]] = True
    return linked


def laplacian_eigen(ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues ``(N,)`` and eigenvectors ``(N, N)`` (columns) of ``I - D^-1/2 A D^-1/2``.

    A node without edges counts as one of degree 1. Signs, and vectors of equal eigenvalues, are arbitrary.
    """
    linked = adjacency(ends, count).astype(float)
    scale = linked.sum(1).clip(1) ** -0.5
    values, vectors = np.linalg.eigh(np.eye(count) - scale[:, None] * linked * scale)
    return np.sort(np.abs(values)), vectors
