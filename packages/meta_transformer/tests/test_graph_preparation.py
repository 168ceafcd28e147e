"""From features and edges to codes and eigenvectors, and which graphs cannot be used."""

import numpy as np
import pytest

from mm_meta_transformer.datasets.graph_preparation import GraphError, PrepareGraph, codes, laplacian_eigen

TRIANGLE = np.array([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])


def graph(nodes=3, ends=TRIANGLE, **entries):
    return {
        "node_features": np.zeros((nodes, 2), int),
        "edge_index": ends,
        "edge_features": np.zeros((ends.shape[1], 1), int),
        "path": "molecule 7",
    } | entries


def test_codes_of_all_columns_differ_and_zero_is_left_for_padding():
    assert codes(np.array([[0, 0], [509, 509]])).tolist() == [[2, 514], [511, 1023]]
    assert codes(np.array([[0, 7]]), offset=10).tolist() == [[2, 19]]
    for value in (-1, 510):
        with pytest.raises(GraphError, match=f"feature 1 of row 0 is {value}. Fix: number categories from 0 to 509"):
            codes(np.array([[0, value]]))


def test_eigenvectors_are_cut_or_filled_up():
    assert PrepareGraph(2)(graph())["lap_eigvec"].shape == (3, 2)
    filled = PrepareGraph(5)(graph())["lap_eigvec"]
    assert filled.shape == (3, 5)
    assert not filled[:, 3:].any()
    prepared = PrepareGraph(2)(graph())
    assert prepared["edge_index"].tolist() == TRIANGLE.T.tolist()
    assert (prepared["node_data"].shape, prepared["edge_data"].shape) == ((3, 2), (6, 1))


def test_as_many_eigenvalues_are_zero_as_there_are_connected_parts():
    values, vectors = laplacian_eigen(np.concatenate((TRIANGLE, TRIANGLE + 3), 1), 6)
    assert (values < 1e-12).sum() == 2
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-12)


def test_a_node_without_edges_is_a_token_of_its_own():
    prepared = PrepareGraph(4)(graph(nodes=4))
    assert np.isfinite(prepared["lap_eigvec"]).all()
    assert len(prepared["node_data"]) == 4
    alone = PrepareGraph(2)(graph(nodes=1, ends=np.zeros((2, 0), int)))
    assert alone["edge_index"].shape == (0, 2)
    assert alone["edge_data"].shape == (0, 1)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (dict(nodes=2), "molecule 7: edge 2 goes from node 1 to node 2, but nodes are numbered from 0 to 1"),
        (dict(ends=TRIANGLE - 1), "edge 0 goes from node -1 to node 0"),
        (dict(ends=TRIANGLE[:, :5]), "molecule 7: the edge from node 2 to node 0 is not listed from 0 to 2 as well"),
        (dict(nodes=0), "molecule 7 has no nodes"),
        (dict(node_features=np.zeros(3, int)), r"node_features are int64 of \(3,\). Fix: whole numbers"),
        (dict(node_features=np.full((3, 1), 0.7)), r"node_features are float64 of \(3, 1\). Fix: whole numbers"),
        (dict(edge_features=np.full((6, 1), 0.7)), "edge_features are float64"),
        (dict(edge_index=TRIANGLE.astype(float)), "molecule 7: edge_index is float64. Fix: whole numbers"),
        (dict(edge_features=np.zeros((4, 1), int)), r"edge_index is \(2, 6\) for 4 edges. Fix: \(2, 4\)"),
    ],
)
def test_what_is_no_graph_is_named(entries, message):
    with pytest.raises(GraphError, match=message):
        PrepareGraph(2)(graph(**entries))


def test_too_many_nodes_are_an_error():
    with pytest.raises(GraphError, match=r"molecule 7 has 3 nodes, more than max_nodes=2 .*Fix: leave it out"):
        PrepareGraph(2, max_nodes=2)(graph())
