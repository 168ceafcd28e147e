"""Graph classification sets in GIN's text format: reading, folds, and graphs that are left out."""

import re

import pytest

from mm_meta_transformer.datasets.gin_text import GINTextDataset, read_gin_text
from mm_meta_transformer.datasets.graph_preparation import GraphError

PAIR = "2 {label}\n3 1 1\n4 1 0\n"


def file(path, *graphs):
    path = path / "GRAPHS.txt"
    path.write_text(f"{len(graphs)}\n" + "".join(graphs))
    return str(path)


def dataset(path, **settings):
    return GINTextDataset(path, serialize_data=False, **settings)


def pairs(count):
    return [PAIR.format(label=2 * (number % 2)) for number in range(count)]


def test_a_graph_is_read_as_written(tmp_path):
    (graph,) = read_gin_text(file(tmp_path, "3 2\n5 2 1 2\n6 1 0\n7 1 0\n"))
    assert graph["node_features"].tolist() == [[5], [6], [7]]
    assert graph["edge_index"].tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert graph["edge_features"].shape == (4, 1)
    assert (graph["label"], graph["path"]) == ("2", "GRAPHS.txt, graph 0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 0\n3 2 1\n4 1 0\n", "line 3: 2 neighbours are announced, 1 listed"),
        ("2 0\n3 1 1\n", "ends after 3 lines; missing is node 1 of graph 0"),
        ("2 0\n3 x 1\n4 1 0\n", "line 3 is '3 x 1'; it should be node 0 of graph 0"),
        ("2\n3 1 1\n4 1 0\n", "line 2 is '2'; it should be graph 0: its nodes and class"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, text, message):
    with pytest.raises(GraphError, match=message):
        list(read_gin_text(file(tmp_path, text)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.txt: no such file"):
        dataset(str(tmp_path / "none.txt"))


def test_folds_are_disjoint_stratified_and_complete(tmp_path):
    path = file(tmp_path, *pairs(12))
    tested = []
    for fold in range(3):
        train, test = (dataset(path, part=part, fold=fold, folds=3) for part in ("train", "test"))
        names = [{one["path"] for one in map(half.get_data_info, range(len(half)))} for half in (train, test)]
        assert (len(names[0]), len(names[1])) == (8, 4)
        assert not names[0] & names[1]
        assert sum(test.get_data_info(number)["gt_label"] for number in range(4)) == 2
        tested += names[1]
    assert len(set(tested)) == 12
    again = dataset(path, part="test", fold=2, folds=3)
    assert {one["path"] for one in map(again.get_data_info, range(4))} == names[1]


def test_labels_become_class_numbers(tmp_path):
    path = file(tmp_path, *pairs(2))
    assert dataset(path).metainfo["classes"] == ("0", "2")
    assert [dataset(path, classes=("2", "0")).get_data_info(number)["gt_label"] for number in (0, 1)] == [1, 0]
    with pytest.raises(GraphError, match=r"graph 1 has the class '2'. Fix: add it to classes"):
        dataset(path, classes=("0",))


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        ("3 0\n0 1 1\n2 1 0\n2 1 0\n", "the edge from node 2 to node 0 is not listed"),
        ("2 0\n3 1 5\n4 1 0\n", "edge 0 goes from node 0 to node 5"),
        ("0 0\n", "has no nodes"),
    ],
)
def test_damaged_graphs_are_an_error_or_left_out_and_named(tmp_path, damaged, what, monkeypatch):
    path = file(tmp_path, *pairs(2), damaged)
    with pytest.raises(GraphError, match=f"graph 2.*{what}.*faults='drop'"):
        dataset(path)
    contains = f"1 damaged graphs are left out.*graph 2.*{what}"
    assert len(logged(monkeypatch, path, contains, faults="drop")) == 2


def test_large_graphs_are_left_out_and_nodes_without_edges_counted(tmp_path, monkeypatch):
    path = file(tmp_path, *pairs(2), "4 0\n1 0\n1 0\n1 1 3\n1 1 2\n", "5 0\n" + "1 0\n" * 5)
    with pytest.raises(GraphError, match="no graph is left"):
        dataset(path, max_nodes=1)
    contains = "1 graphs of more than max_nodes=4(.|\n)*2 nodes have no edge"
    assert len(logged(monkeypatch, path, contains, max_nodes=4)) == 3


def test_two_words_are_not_known(tmp_path):
    path = file(tmp_path, *pairs(2))
    with pytest.raises(ValueError, match="part='val' is not known"):
        dataset(path, part="val")
    with pytest.raises(ValueError, match="fold=3 of 3 folds"):
        dataset(path, fold=3, folds=3)
    with pytest.raises(ValueError, match="faults='skip' is not known"):
        dataset(path, faults="skip")


def logged(monkeypatch, path, contains, **settings):
    """Return the data set, once what it logs is found."""
    said = []
    monkeypatch.setattr("mm_meta_transformer.datasets.graphs.print_log", lambda text, logger: said.append(text))
    found = dataset(path, **settings)
    assert re.search(contains, "\n".join(said)), said
    return found
