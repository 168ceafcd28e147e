"""Graphs, from files of the GIN project, SMILES, and edges with node codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mm_meta_transformer.datasets.gin_text import read_gin_text
from mm_meta_transformer.datasets.graph_preparation import GraphError, check_graph
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class GraphReader(Reader):
    """Read graphs: files of the GIN project (all their graphs), dicts, or pairs (edges, nodes).

    A dict has ``edges`` ``(E, 2)``, pairs of node numbers in either direction, and ``nodes`` ``(N,)`` or ``(N, F)``,
    whole numbers from 0; or what the data sets have, ``node_features``, ``edge_index`` and ``edge_features``. A model
    of molecules reads texts too, as SMILES. Where the config's data set leaves damaged graphs out, those of a
    file are left out too, with a warning.
    """

    modality = "graph"
    suffixes = (".txt",)

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps, without the annotations."""
        self.drop = self.dataset.get("faults") == "drop"
        self.molecules = None
        if pipeline[0]["type"] == "MoleculeFromSMILES":
            self.molecules, *pipeline = pipeline
        return [{**step, "fields": ()} if step["type"] == "PackMetaInputs" else step for step in pipeline]

    def sources(self, inputs: Any) -> list[Any]:
        """Return the graphs; a pair of two arrays is one, and of molecules a text is never a folder."""
        pair = isinstance(inputs, tuple) and len(inputs) == 2 and not isinstance(inputs[0], (str, Path, Mapping))
        if pair:
            return [inputs]
        if self.molecules is not None:
            return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return super().sources(inputs)

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a graph's features and edges, or a molecule's SMILES."""
        info = dataset.get_data_info(number)
        return (info if self.molecules is None else info["smiles"]), {}

    def read(self, source: Any, name: str) -> Iterator[Sample]:
        """Yield the graphs.

        Raises:
            FileNotFoundError: there is no such file.
            GraphError: a graph is damaged, or each one of a file that may be left out.
            UserError: the input is none of the above.
        """
        if isinstance(source, (str, Path)):
            if self.molecules is not None:
                yield self._molecule(str(source))
                return
            yield from self._file(existing(source), name)
            return
        if isinstance(source, tuple) and len(source) == 2:
            source = {"edges": source[0], "nodes": source[1]}
        if not isinstance(source, Mapping):
            raise UserError(f"{name} is a {type(source).__name__}. Fix: a file, or dict(edges=(E, 2), nodes=(N,))")
        yield _checked(_from_dict(source, name), name)

    def _file(self, path: Path, name: str) -> Iterator[Sample]:
        damaged, count = [], 0
        for number, graph in enumerate(read_gin_text(path)):
            try:
                sample = _checked(graph, f"{name}_{number}")
            except GraphError as error:
                if not self.drop:
                    raise
                damaged.append(error)
                continue
            count += 1
            yield sample
        if damaged and not count:
            raise damaged[0]
        if damaged:
            warnings.warn(f"{path}: {len(damaged)} damaged graphs are left out, the first: {damaged[0]}", stacklevel=4)

    def _molecule(self, smiles: str) -> Sample:
        from mmpretrain.registry import TRANSFORMS

        graph = TRANSFORMS.build(self.molecules)({"smiles": smiles, "path": smiles})
        name = "".join(letter if letter.isalnum() else "_" for letter in smiles)[:40]
        return _checked(graph, name)


def _from_dict(source: Mapping[str, Any], name: str) -> dict[str, Any]:
    if {"node_features", "edge_index", "edge_features"} <= source.keys():
        return {key: np.asarray(source[key]) for key in ("node_features", "edge_index", "edge_features")}
    if not {"edges", "nodes"} <= source.keys():
        raise UserError(f"{name} has {', '.join(source)}. Fix: dict(edges=(E, 2), nodes=(N,))")
    try:
        nodes, edges = np.asarray(source["nodes"]), np.asarray(source["edges"])
    except ValueError as error:  # rows of several lengths
        raise UserError(
            f"{name} has nodes or edges that are no arrays: {error}. Fix: edges (E, 2), nodes (N,)"
        ) from error
    if not nodes.size:
        raise UserError(f"{name} has no nodes. Fix: leave it out")
    edges = edges if edges.size else np.zeros((0, 2), np.int64)
    if nodes.dtype.kind not in "iu" or edges.dtype.kind not in "iu":
        raise UserError(f"{name}: nodes are {nodes.dtype} and edges {edges.dtype}. Fix: whole numbers from 0")
    if nodes.ndim not in (1, 2) or edges.ndim != 2 or edges.shape[1] != 2:
        raise UserError(
            f"{name}: nodes are {nodes.shape} and edges {edges.shape}. Fix: nodes (N,) or (N, F) and edges (E, 2), "
            "the two nodes of one in each row; or node_features, edge_index (2, E) and edge_features"
        )
    both = np.unique(np.concatenate((edges, edges[:, ::-1])), axis=0).T
    return {
        "node_features": nodes.reshape(len(nodes), -1),
        "edge_index": both.reshape(2, -1),
        "edge_features": np.zeros((both.shape[1], 1), np.int64),
    }


def _checked(graph: dict[str, Any], name: str) -> Sample:
    check_graph(graph["node_features"], graph["edge_index"], graph["edge_features"], graph.setdefault("path", name))
    raw = {"edges": graph["edge_index"].T, "nodes": graph["node_features"][:, 0], "count": len(graph["node_features"])}
    return Sample(name, graph, raw)
