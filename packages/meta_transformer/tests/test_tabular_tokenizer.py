"""Tokens of a table's rows: one embedding per category, and two ways for continuous columns."""

import pytest
import torch

from mm_meta_transformer.tokenizers.tabular import TabularTokenizer

CODES = torch.tensor([[1, 0, 5], [2, 3, 4]])
VALUES = torch.tensor([[0.5, -1.0], [2.0, 0.0]])


def tokenizer(**changes):
    return TabularTokenizer(**(dict(num_codes=5, num_columns=3, num_continuous=2, embed_dims=4) | changes)).eval()


def test_a_category_is_its_row_and_an_unseen_one_is_zero():
    model = tokenizer()
    tokens, padding, info = model(dict(codes=CODES, values=VALUES))
    assert torch.equal(tokens, model.embed.weight[CODES])
    assert tokens[0, 1].abs().max() == 0
    assert padding is None
    assert info["prefix"] == 0
    assert torch.equal(info["extra"], VALUES)


def test_the_row_of_unseen_values_is_never_trained():
    model = tokenizer()
    model(dict(codes=CODES, values=VALUES)).tokens.sum().backward()
    assert model.embed.weight.grad[0].abs().max() == 0
    assert model.embed.weight.grad[1:].abs().min() > 0


def test_continuous_columns_may_be_tokens_of_their_own():
    model = tokenizer(continuous="token")
    torch.nn.init.normal_(model.value_bias)
    tokens, _, info = model(dict(codes=CODES, values=VALUES))
    assert tokens.shape == (2, 5, 4)
    assert torch.equal(tokens[:, :3], model.embed.weight[CODES])
    assert torch.allclose(tokens[1, 3], 2.0 * model.value_weight[0] + model.value_bias[0])
    assert "extra" not in info


def test_class_token_and_positions_stand_where_they_should():
    model = tokenizer(num_continuous=0, class_token=True, position=True)
    tokens, _, info = model(dict(codes=CODES))
    assert info == {"prefix": 1}
    assert torch.equal(tokens[:, 0], (model.cls_token + model.pos_embedding)[:, 0].expand(2, -1))
    assert torch.equal(tokens[:, 1:], model.embed.weight[CODES] + model.pos_embedding[:, 1:])


def test_dropout_is_that_of_the_embeddings():
    tokens = tokenizer(dropout=1.0).train()(dict(codes=CODES, values=VALUES)).tokens
    assert tokens.abs().max() == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (dict(codes=CODES[:, :2], values=VALUES), r"\(2, 2\), the tokenizer reads \(B, 3\)"),
        (dict(codes=CODES), "0 continuous columns, the tokenizer 2"),
        (dict(codes=CODES, values=VALUES[:, :1]), "1 continuous columns, the tokenizer 2"),
        (dict(codes=CODES + 1, values=VALUES), "from 1 to 6, the table has rows for 0 to 5"),
        (dict(codes=CODES - 1, values=VALUES), "from -1 to 4"),
    ],
)
def test_rows_of_another_table_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        tokenizer()(inputs)


def test_a_tokenizer_needs_something_to_make_tokens_of():
    with pytest.raises(ValueError, match=r"no tokens\. Fix: continuous='token'"):
        tokenizer(num_columns=0)
    with pytest.raises(ValueError, match="'bypass' or 'token'"):
        tokenizer(continuous="drop")
