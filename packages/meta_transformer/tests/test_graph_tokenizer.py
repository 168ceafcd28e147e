"""Tokens of graphs: packing and padding, node identifiers, and what is drawn at random."""

import pytest
import torch

from mm_meta_transformer.tokenizers.graph import GraphTokenizer
from mm_meta_transformer.tokenizers.text import TextFeatureTokenizer


def tokenizer(**settings):
    torch.manual_seed(0)
    one = GraphTokenizer(16, num_atoms=30, num_edges=10, **{"lap_dims": 4} | settings).eval()
    one.init_weights()
    return one


def graph(seed=0, nodes=3, edges=((0, 1), (1, 0), (1, 2), (2, 1))):
    random = torch.Generator().manual_seed(seed)
    return {
        "node_data": torch.randint(1, 30, (1, nodes, 2), generator=random),
        "edge_data": torch.randint(1, 10, (1, len(edges), 1), generator=random),
        "edge_index": torch.tensor(edges).reshape(1, -1, 2),
        "lap_eigvec": torch.randn(1, nodes, 4, generator=random),
    }


def together(*graphs):
    return {
        key: torch.nn.utils.rnn.pad_sequence([one[key][0] for one in graphs], batch_first=True) for key in graphs[0]
    }


def test_a_graph_has_the_same_tokens_alone_and_beside_a_larger_one():
    one, other = graph(), graph(seed=1, nodes=5, edges=((0, 4), (4, 0)))
    model = tokenizer()
    alone, both = model(one), model(together(one, other))
    assert alone.tokens.shape == (1, 2 + 3 + 4, 16)
    assert both.tokens.shape == (2, 2 + 7, 16)
    torch.testing.assert_close(both.tokens[0], alone.tokens[0])
    torch.testing.assert_close(both.tokens[1], model(other).tokens[0])
    three = model(together(one, graph(seed=2, nodes=1, edges=())))
    assert alone.padding is model(together(one, one)).padding is None  # nothing is padded: attention needs no mask
    assert three.padding.tolist() == [[False] * 9, [False] * 3 + [True] * 6]
    assert not three.tokens[1, 3:].any()
    assert three.info["pairs"][0].tolist() == [[0, 0], [1, 1], [2, 2], [0, 1], [1, 0], [1, 2], [2, 1]]
    assert three.info["pairs"][1].tolist() == [[0, 0]] * 7


def test_renumbered_nodes_are_the_same_tokens_in_another_order():
    one, order = graph(), torch.tensor([2, 0, 1])
    other = {
        "node_data": one["node_data"][:, order],
        "edge_data": one["edge_data"],
        "edge_index": order.argsort()[one["edge_index"]],
        "lap_eigvec": one["lap_eigvec"][:, order],
    }
    model = tokenizer()
    wanted, found = model(one).tokens, model(other).tokens
    torch.testing.assert_close(found[:, 2:5], wanted[:, 2:5][:, order])
    torch.testing.assert_close(found[:, 5:], wanted[:, 5:])


def test_in_training_whole_eigenvectors_are_dropped_and_signs_flipped_for_each_graph():
    one = graph(nodes=5, edges=((0, 1), (1, 0)))
    batch = together(*[one] * 64)
    model = tokenizer(lap_dropout=0.25).train()
    torch.manual_seed(0)
    factors = model._eigenvectors(batch) / batch["lap_eigvec"]
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))  # the same for all nodes of a graph
    values = {round(value, 4) for value in factors.flatten().tolist()}
    assert {abs(value) for value in values} == {0.0, round(4 / 3, 4)}
    assert {round(4 / 3, 4), -round(4 / 3, 4)} < values
    torch.testing.assert_close(model.eval()._eigenvectors(batch), batch["lap_eigvec"])


def test_missing_eigenvectors_count_as_zeros_and_more_are_cut():
    one = graph()
    short = one | {"lap_eigvec": one["lap_eigvec"][..., :2]}
    wide = one | {"lap_eigvec": torch.cat((one["lap_eigvec"], torch.ones(1, 3, 3)), -1)}
    model = tokenizer()
    torch.testing.assert_close(model(wide).tokens, model(one).tokens)
    zeros = one | {"lap_eigvec": torch.cat((one["lap_eigvec"][..., :2], torch.zeros(1, 3, 2)), -1)}
    torch.testing.assert_close(model(short).tokens, model(zeros).tokens)


def test_drawn_orthogonal_identifiers_are_orthogonal_within_a_graph():
    batch = together(graph(nodes=5, edges=((0, 1), (1, 0))), graph(nodes=3))
    model = tokenizer(orf_dims=8, rand_dims=8, lap_dims=0)
    rows = model._orthogonal(batch, batch["node_data"][..., 0] > 0)
    torch.testing.assert_close(rows[0] @ rows[0].T, torch.eye(5))
    torch.testing.assert_close(rows[1, :3] @ rows[1, :3].T, torch.eye(3))
    assert not rows[1, 3:].any()
    assert not torch.equal(model(batch).tokens, model(batch).tokens)  # drawn anew
    given = batch | {"orthogonal": rows, "uniform": torch.rand(2, 5, 8)}
    assert torch.equal(model(given).tokens, model(given).tokens)


def test_every_parameter_gets_a_gradient():
    model = tokenizer(orf_dims=4, rand_dims=4).train()
    model(graph()).tokens.square().sum().backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []


def test_a_text_feature_wider_than_a_token_is_an_error():
    with pytest.raises(ValueError, match="features have 512 channels, tokens 16"):
        TextFeatureTokenizer(16)(torch.zeros(1, 512))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(node_data=torch.tensor([[[2], [30], [3]]])),
            "node_data has codes from 2 to 30, .* 0 to 29. Fix: num_atoms",
        ),
        (dict(edge_data=torch.full((1, 4, 1), 10)), "edge_data has codes from 10 to 10, .* Fix: num_edges"),
        (dict(edge_data=torch.full((1, 4, 1), -1)), "edge_data has codes from -1 to -1"),
        (
            dict(edge_index=torch.tensor([[[0, 1], [1, 0], [1, 3], [3, 1]]])),
            r"edge 2 of graph 0 .* nodes \[1, 3\], .* has 3",
        ),
    ],
)
def test_codes_without_a_row_and_edges_without_a_node_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tokenizer()(graph() | changes)


def test_an_edge_to_what_is_only_padding_is_named():
    batch = together(graph(), graph(seed=1, nodes=5, edges=((0, 4), (4, 0))))
    batch["edge_index"][0, 1] = torch.tensor([1, 4])
    with pytest.raises(ValueError, match=r"edge 1 of graph 0 of the batch joins nodes \[1, 4\], the graph has 3"):
        tokenizer()(batch)


def test_absent_eigenvectors_are_named():
    one = graph()
    del one["lap_eigvec"]
    with pytest.raises(ValueError, match=r"the graphs have no lap_eigvec. Fix: PrepareGraph makes it"):
        tokenizer()(one)
    assert tokenizer(lap_dims=0)(one).tokens.shape == (1, 9, 16)
