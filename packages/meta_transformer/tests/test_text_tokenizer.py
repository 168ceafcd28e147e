"""Tokens of texts: class token, position, padding, and the context length."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.tokenizers.text import TextTokenizer
from mmrepro.testing import load_config

CONFIGS = Path(__file__).parents[1] / "configs/meta_transformer"


def tokenizer(**settings):
    torch.manual_seed(0)
    one = TextTokenizer(8, vocab_size=20, max_length=6, **settings).eval()
    one.init_weights()
    return one


def test_a_class_token_comes_first_and_padding_is_known():
    model = tokenizer()
    ids = torch.tensor([[3, 4, 5], [6, 0, 0]])
    padding = torch.tensor([[False] * 3, [False, True, True]])
    found = model({"ids": ids, "padding": padding})
    assert found.tokens.shape == (2, 4, 8)
    assert found.padding.tolist() == [[False] * 4, [False, False, True, True]]
    assert found.info["prefix"] == 1
    torch.testing.assert_close(found.tokens[0, 0], found.tokens[1, 0])
    assert model({"ids": ids}).padding is None
    bare = tokenizer(class_token=False)({"ids": ids, "padding": padding})
    assert (bare.tokens.shape, bare.info["prefix"]) == ((2, 3, 8), 0)
    assert bare.padding.equal(padding)


def test_the_position_is_a_sinusoid_over_places():
    ids = torch.tensor([[3, 3, 3]])
    placed, unplaced = (tokenizer(position=kind)({"ids": ids}).tokens[0] for kind in ("sinusoid", None))
    torch.testing.assert_close(unplaced[1], unplaced[3])
    place = torch.arange(4.0)
    torch.testing.assert_close((placed - unplaced)[:, 0], place.sin())
    torch.testing.assert_close((placed - unplaced)[:, 1], place.cos())
    torch.testing.assert_close((placed - unplaced)[:, 2], (place * 1e4 ** -(2 / 8)).sin())


def test_a_text_beyond_the_context_is_an_error():
    with pytest.raises(ValueError, match=r"a text has 7 pieces, the context 6. Fix: max_length of the data set"):
        tokenizer()({"ids": torch.zeros(1, 7, dtype=torch.long)})
    with pytest.raises(ValueError, match="position='learned' is not known"):
        tokenizer(position="learned")


def test_padding_changes_no_prediction_and_every_parameter_is_trained():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="MetaTransformerClassifier",
            tokenizer=dict(type="TextTokenizer", vocab_size=20, max_length=6),
            encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2), frozen=False),
            head=dict(type="MetaLinearHead", num_classes=2),
            data_preprocessor=dict(type="SampleDataPreprocessor", pad=dict(ids=0)),
        )
    )
    texts = [{"ids": torch.tensor([3, 4])}, {"ids": torch.tensor([5, 6, 7, 8, 9])}]
    alone, both = (model(model.data_preprocessor({"inputs": part})["inputs"]) for part in (texts[:1], texts))
    torch.testing.assert_close(alone[0], both[0])
    both.square().sum().backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []


@pytest.mark.parametrize("task", ["sst2", "mrpc", "qqp"])
def test_the_rows_have_the_listed_size(task):
    name = f"meta-transformer_base_{task}"
    with torch.device("meta"):
        model = MODELS.build(load_config(CONFIGS / f"{name}.py").model)
    counts = sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert counts == 30522 * 768 + 768 * 768 + 2 * 768 + 85_054_464 + 2 * 768 + 2 * 768 + 2


def test_numbers_that_the_table_has_no_row_for_are_named():
    tokenizer = TextTokenizer(8, vocab_size=5, max_length=4)
    for ids, found in (([[1, 7]], "1 to 7"), ([[-1, 2]], "-1 to 2")):
        with pytest.raises(ValueError, match=f"reach from {found}, the table has rows for 0 to 4. Fix: vocab_size"):
            tokenizer({"ids": torch.tensor(ids)})
