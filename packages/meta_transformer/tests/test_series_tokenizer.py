"""Tokens of series: padding changes nothing, the class token comes first, what does not fit is named."""

import pytest
import torch

from mm_meta_transformer.tokenizers.series import SeriesTokenizer


def tokenizer(**changes) -> SeriesTokenizer:
    torch.manual_seed(0)
    return SeriesTokenizer(**(dict(n_variates=3, embed_dims=8, length=10, dropout=0.5) | changes)).eval()


def test_a_padded_sample_has_the_tokens_that_it_has_alone():
    layer = tokenizer(class_token=True, n_marks=4)
    series, marks = torch.randn(2, 10, 3), torch.randn(2, 10, 4)
    padding = torch.arange(10) >= torch.tensor([[10], [6]])
    together = layer({"series": series, "marks": marks, "padding": padding})
    alone = layer({"series": series[1:, :6], "marks": marks[1:, :6]})
    torch.testing.assert_close(together.tokens[1:, :7], alone.tokens)
    assert together.padding.sum(1).tolist() == [0, 4]
    assert not together.padding[:, :7].any()


def test_the_class_token_is_first_and_the_same_for_all():
    layer, series = tokenizer(class_token=True), torch.randn(2, 10, 3)
    tokens = layer(series)
    assert tokens.info["prefix"] == 1
    torch.testing.assert_close(tokens.tokens[:, 0], layer.cls_token[0].expand(2, -1))
    bare = tokenizer()(series)
    assert (bare.tokens.shape, bare.info["prefix"], bare.padding) == ((2, 10, 8), 0, None)


def test_order_of_steps_is_seen():
    layer, series = tokenizer(), torch.randn(1, 10, 3)
    turned = layer(series.roll(1, 1)).tokens
    # The circle turns with the window; the positions do not.
    assert not torch.allclose(turned, layer(series).tokens.roll(1, 1))
    positions = layer.embedding.positions
    torch.testing.assert_close(turned - positions, (layer(series).tokens - positions).roll(1, 1))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 10, 4), r"windows are \(2, 10, 4\), the tokenizer reads \(B, 1 to 10, 3\)"),
        (torch.zeros(2, 11, 3), r"windows are \(2, 11, 3\).*Fix: n_variates and length"),
        (torch.zeros(2, 0, 3), r"windows are \(2, 0, 3\)"),
        (torch.zeros(10, 3), r"windows are \(10, 3\)"),
        ({"series": torch.zeros(2, 10, 3), "marks": torch.zeros(2, 10, 4)}, r"4 time features, the tokenizer reads 0"),
        ({"series": torch.zeros(2, 9, 3), "padding": torch.ones(2, 9, dtype=bool)}, r"samples \[0, 1\] of the batch"),
    ],
)
def test_what_does_not_fit_is_named(inputs, message):
    with pytest.raises(ValueError, match=message):
        tokenizer()(inputs)


def test_marks_of_other_steps_are_named():
    with pytest.raises(
        ValueError, match=r"marks are \(2, 1, 4\) for windows \(2, 10, 3\). Fix: time features of every"
    ):
        tokenizer(n_marks=4)({"series": torch.randn(2, 10, 3), "marks": torch.randn(2, 1, 4)})
