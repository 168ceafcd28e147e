"""Joined tokens: who attends to whom, what is padding, and what cannot be joined."""

import doctest

import pytest
import torch

import mm_meta_transformer.tokenizers.join_tokens as module
from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.tokenizers.join_tokens import join_tokens
from mm_meta_transformer.tokenizers.tokens import Tokens


def part(count, length, dims=8, padding=None, seed=0, **info):
    return Tokens(torch.randn(count, length, dims, generator=torch.Generator().manual_seed(seed)), padding, info)


def test_the_example_of_the_docstring_runs():
    results = doctest.testmod(module)
    assert (results.failed, results.attempted) == (0, 10)


def test_tokens_are_one_after_the_other_and_class_tokens_are_no_content():
    sight, sound = part(2, 3, prefix=1), part(2, 4, prefix=2, seed=1)
    joined = join_tokens({"sight": sight, "sound": sound})
    assert torch.equal(joined.tokens, torch.cat((sight.tokens, sound.tokens), 1))
    assert joined.padding is None
    assert joined.info["spans"] == {"sight": slice(0, 3), "sound": slice(3, 7)}
    assert joined.info["content"].tolist() == [False, True, True, False, False, True, True]
    assert "position" not in joined.info


def test_padding_is_a_modality_s_own_and_what_a_sample_lacks():
    short = part(2, 2, padding=torch.tensor([[False, False], [False, True]]))
    joined = join_tokens({"sight": part(3, 2), "sound": short}, {"sound": torch.tensor([2, 0])})
    assert joined.padding.int().tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert torch.equal(joined.tokens[[2, 0], 2:], short.tokens)


def test_joined_rows_of_all_samples_need_no_mask():
    sound = part(2, 2)
    joined = join_tokens({"sound": sound}, {"sound": torch.tensor([1, 0])}, 2)
    assert joined.padding is None
    assert torch.equal(joined.tokens, sound.tokens.flip(0))


def test_a_position_stays_with_its_modality():
    cloud = part(1, 2, position=torch.ones(1, 2, 8))
    joined = join_tokens({"sight": part(2, 3), "cloud": cloud}, {"cloud": torch.tensor([1])})
    position = joined.info["position"]
    assert position.sum((1, 2)).tolist() == [0, 16]
    assert (position[1, 3:] == 1).all()


def test_what_a_sample_lacks_is_not_attended_to():
    torch.manual_seed(0)
    encoder = MetaTransformerEncoder(arch=dict(embed_dims=8, depth=2, num_heads=2))
    sight, sound = part(2, 3), part(1, 4, seed=1)
    joined = join_tokens({"sight": sight, "sound": sound}, {"sound": torch.tensor([1])})
    encoded = encoder(joined.tokens, joined.padding)
    torch.testing.assert_close(encoded[0, :3], encoder(sight.tokens[:1])[0])
    both = torch.cat((sight.tokens[1:], sound.tokens), 1)
    torch.testing.assert_close(encoded[1], encoder(both)[0])


@pytest.mark.parametrize(
    ("parts", "rows", "message"),
    [
        ({}, None, "tokens of no modality cannot be joined"),
        ({"sight": part(1, 2), "sound": part(1, 2, 4)}, None, "'sight': 8, 'sound': 4.*one embed_dims"),
        ({"sight": part(1, 2), "sound": part(2, 2)}, None, "'sight': 1, 'sound': 2.*rows for what some samples lack"),
        ({"sight": part(1, 2)}, {"sight": torch.tensor([1])}, "unknown number of samples.*count"),
        ({"table": part(1, 2, extra=torch.ones(1, 1))}, None, "table has values that bypass the encoder.*'token'"),
    ],
)
def test_what_cannot_be_joined_is_named(parts, rows, message):
    with pytest.raises(ValueError, match=message):
        join_tokens(parts, rows)
