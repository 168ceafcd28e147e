"""Random graphs that look like molecules, for tests and tiny versions of configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.graphs import GraphDataset


@DATASETS.register_module()
class GeneratedMoleculesDataset(GraphDataset):
    """A ring of six atoms or a chain, with side chains; drawn from a seed, kept in memory.

    ``gt_label`` is 1 for a ring, and ``gt_value`` the share of atoms of the second kind, with 1 added for a ring.

    Args:
        count: number of graphs.
        seed: of all of them.
        node_columns: features of an atom; the first is its kind, the others are 0.
        edge_columns: features of a bond, all 0.
        kwargs: as in :class:`.GraphDataset`.
    """

    METAINFO: ClassVar[dict] = {"classes": ("chain", "ring")}

    def __init__(
        self, count: int = 8, seed: int = 0, node_columns: int = 9, edge_columns: int = 3, **kwargs: Any
    ) -> None:
        self.count, self.seed = count, seed
        self.node_columns, self.edge_columns = node_columns, edge_columns
        super().__init__(serialize_data=False, **kwargs)

    def graphs(self) -> Iterator[dict[str, Any]]:
        """Yield the graphs."""
        random = np.random.default_rng(self.seed)
        for number in range(self.count):
            ring = int(random.integers(2))
            bonds = [(node, node + 1) for node in range(5)] + [(5, 0)] * ring
            for node in range(6, 6 + int(random.integers(1, 6))):
                bonds.append((int(random.integers(node)), node))
            nodes = bonds[-1][1] + 1
            ends = np.array(bonds).T
            features = np.zeros((nodes, self.node_columns), np.int64)
            features[:, 0] = random.integers(3, size=nodes)
            yield {
                "node_features": features,
                "edge_index": np.concatenate((ends, ends[::-1]), 1),
                "edge_features": np.zeros((2 * len(bonds), self.edge_columns), np.int64),
                "gt_label": ring,
                "gt_value": np.float32(ring + (features[:, 0] == 1).mean()),
                "path": f"molecule {number}",
            }
