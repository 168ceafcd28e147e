"""What data sets of graphs share: graphs that cannot be used are an error, or left out and counted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.graph_preparation import GraphError, check_graph


class GraphDataset(BaseDataset):
    """Graphs with ``node_features`` ``(N, F)``, ``edge_index`` ``(2, E)`` and ``edge_features`` ``(E, G)``.

    Args:
        max_nodes: larger graphs are left out, as officially; the log says how many.
        faults: ``"error"``, a damaged graph is an error; ``"drop"``, it is left out, and the log names it.
        kwargs: as in mmengine's BaseDataset.

    Raises:
        GraphError: no graph is left, or one is damaged (see :func:`.check_graph`).
        DataError: ``faults`` is unknown.
    """

    def __init__(
        self, *args: Any, max_nodes: int = 128, faults: Literal["error", "drop"] = "error", **kwargs: Any
    ) -> None:
        if faults not in ("error", "drop"):
            raise DataError(f"faults={faults!r} is not known. Fix: 'error' or 'drop'")
        self.max_nodes, self.faults = max_nodes, faults
        super().__init__(*args, **kwargs)

    @abstractmethod
    def graphs(self) -> Iterator[dict[str, Any]]:
        """Yield all graphs, each with ``path``, a name for it, too."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the graphs that can be used; the log counts those left out, and nodes without edges."""
        kept, damaged, large, isolated = [], [], 0, 0
        for graph in self.graphs():
            try:
                check_graph(graph["node_features"], graph["edge_index"], graph["edge_features"], graph["path"])
            except GraphError as error:
                if self.faults == "error":
                    raise GraphError(f"{error}. To leave damaged graphs out: faults='drop' of the data set") from None
                damaged.append(str(error))
                continue
            if len(graph["node_features"]) > self.max_nodes:
                large += 1
                continue
            isolated += len(graph["node_features"]) - len(np.unique(graph["edge_index"]))
            kept.append(graph)
        name = type(self).__name__
        for count, what in (
            (len(damaged), f"damaged graphs are left out: {'; '.join(damaged)}"),
            (large, f"graphs of more than max_nodes={self.max_nodes} nodes are left out"),
            (isolated, "nodes have no edge"),
        ):
            if count:
                print_log(f"{name}: {count} {what}", "current")
        if not kept:
            raise GraphError(f"{name} {self.ann_file}: no graph is left. Fix: max_nodes={self.max_nodes}, or the file")
        return kept
