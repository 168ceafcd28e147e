"""MUTAG and the other graph classification sets in the text format of GIN (arXiv 1810.00826)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmpretrain.registry import DATASETS
from sklearn.model_selection import StratifiedKFold

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.graph_preparation import GraphError
from mm_meta_transformer.datasets.graphs import GraphDataset
from mm_meta_transformer.datasets.text_file import read_text


@DATASETS.register_module()
class GINTextDataset(GraphDataset):
    """Graphs of one text file and their classes, the training or the test part of a fold.

    The file begins with the number of graphs. A graph is a line ``nodes class`` and for each node a line ``tag degree
    neighbour neighbour ...``. Nodes have one feature, the tag, edges one, which is always 0.

    The copy of MUTAG that most repositories share has 188 sound graphs. In some the first one is damaged (nine of its
    lines are numbered and cut): ``faults="drop"`` leaves 187.

    Args:
        ann_file: the file.
        part: ``"train"``, ``"test"``, or ``"all"`` without folds.
        fold: which of the stratified folds is tested.
        folds: their number; GIN's protocol has 10 and reports the mean.
        seed: of the folds.
        classes: labels in the file in the order of class numbers; those of the file, sorted, by default.
        kwargs: as in :class:`.GraphDataset`.

    Raises:
        GraphError: a line is not as said above, or a graph is damaged; the line is named.
        DataError: the part or the fold is unknown.
    """

    def __init__(
        self,
        ann_file: str,
        part: Literal["train", "test", "all"] = "all",
        fold: int = 0,
        folds: int = 10,
        seed: int = 0,
        classes: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if part not in ("train", "test", "all"):
            raise DataError(f"part={part!r} is not known. Fix: 'train', 'test' or 'all'")
        if not 0 <= fold < folds:
            raise DataError(f"fold={fold} of {folds} folds. Fix: one from 0 to {folds - 1}")
        self.part, self.fold, self.folds, self.seed = part, fold, folds, seed
        metainfo = None if classes is None else {"classes": tuple(classes)}
        super().__init__(ann_file, metainfo=metainfo, **kwargs)

    def graphs(self) -> Iterator[dict[str, Any]]:
        """Yield the graphs of the file, with ``label``, the class as written."""
        return read_gin_text(self.ann_file)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the graphs of the part, with ``gt_label``."""
        graphs = super().load_data_list()
        classes = self._metainfo.setdefault("classes", tuple(sorted({graph["label"] for graph in graphs})))
        for graph in graphs:
            if graph["label"] not in classes:
                raise GraphError(f"{graph['path']} has the class {graph['label']!r}. Fix: add it to classes={classes}")
            graph["gt_label"] = classes.index(graph["label"])
        if self.part == "all":
            return graphs
        splits = StratifiedKFold(self.folds, shuffle=True, random_state=self.seed)
        parts = list(splits.split(graphs, [graph["gt_label"] for graph in graphs]))[self.fold]
        return [graphs[number] for number in parts[self.part == "test"]]


def read_gin_text(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the graphs of a file: ``node_features``, ``edge_index``, ``edge_features``, ``label`` and ``path``.

    Raises:
        FileNotFoundError: no such file.
        GraphError: a line is missing, or is no list of integers of the right length; it is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
    lines = _Lines(path)
    (count,) = lines.numbers("the number of graphs", 1)
    for number in range(count):
        nodes, label = lines.numbers(f"graph {number}: its nodes and class", 2)
        tags, starts, ends = [], [], []
        for node in range(nodes):
            tag, degree, *neighbours = lines.numbers(f"node {node} of graph {number}: tag, degree and neighbours")
            if degree != len(neighbours):
                raise GraphError(
                    f"{lines.here}: {degree} neighbours are announced, {len(neighbours)} listed. Fix: a whole copy"
                )
            tags.append(tag)
            starts += [node] * degree
            ends += neighbours
        yield {
            "node_features": np.array(tags, np.int64).reshape(-1, 1),
            "edge_index": np.array((starts, ends), np.int64).reshape(2, -1),
            "edge_features": np.zeros((len(starts), 1), np.int64),
            "label": str(label),
            "path": f"{path.name}, graph {number}",
        }


class _Lines:
    def __init__(self, path: Path) -> None:
        self.path, self.line = path, 0
        self.lines = read_text(path).splitlines()

    @property
    def here(self) -> str:
        return f"{self.path}, line {self.line}"

    def numbers(self, what: str, count: int | None = None) -> list[int]:
        """Return the next line's integers: as many as said, or at least two."""
        self.line += 1
        if self.line > len(self.lines):
            raise GraphError(f"{self.path} ends after {len(self.lines)} lines; missing is {what}. Fix: a complete copy")
        text = self.lines[self.line - 1]
        try:
            found = [int(word) for word in text.split()]
        except ValueError:
            found = []
        if len(found) != count if count else len(found) < 2:
            raise GraphError(f"{self.here} is {text[:60]!r}; it should be {what}. Fix: a complete copy")
        return found
