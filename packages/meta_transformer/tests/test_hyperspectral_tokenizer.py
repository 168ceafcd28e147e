"""Tokens of a hyperspectral pixel: one per band, and no other number of bands."""

import pytest
import torch

from mm_meta_transformer.tokenizers.hyperspectral import HyperspectralTokenizer


def test_without_class_token_and_position_a_token_is_the_projected_band():
    model = HyperspectralTokenizer(5, 3, embed_dims=4, class_token=False, position=False).eval()
    pixels = torch.randn(2, 5, 3)
    tokens, padding, info = model(pixels)
    assert torch.equal(tokens, model.patch_to_embedding(pixels))
    assert (padding, info) == (None, {"prefix": 0})


def test_dropout_takes_the_position_as_well():
    model = HyperspectralTokenizer(5, embed_dims=4, dropout=1.0).train()
    assert model(torch.randn(2, 5, 1)).tokens.abs().max() == 0


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 6, 3), (2, 5, 1), (5, 3)])
def test_another_number_of_bands_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"the tokenizer reads \(B, 5, 3\): bands, and values of a band. Fix: num_bands"
    ):
        HyperspectralTokenizer(5, 3, embed_dims=4)(torch.zeros(shape))
