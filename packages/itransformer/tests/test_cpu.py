"""Attention on the CPU gives what PyTorch's own operations give."""

from __future__ import annotations

import pytest
import torch

from mm_itransformer.models import attention
from mmrepro.ops.cpu_layers import Dropout, keep_mask


@pytest.mark.parametrize(
    ("batch", "heads", "tokens", "at_once", "groups"),
    [
        (3, 2, 7, 2**20, 1),
        (3, 2, 40, 2**20, 1),
        (3, 2, 40, 3 * 40**2, 2),
        (3, 2, 40, 1, 6),
        (1, 2, 7, 2**20, 1),
        (1, 2, 40, 1, 2),
        (3, 1, 7, 2**20, 1),
        (3, 1, 40, 1, 3),
    ],
)
def test_dropped_attention_is_the_product_written_out(batch, heads, tokens, at_once, groups, monkeypatch):
    """Short and long rows; the weights kept, or computed again; several heads at once, or one by one; one window."""
    masks = []

    def remembered(*args):
        masks.append(keep_mask(*args))
        return masks[-1]

    monkeypatch.setattr(attention, "WEIGHTS_AT_ONCE", at_once)
    monkeypatch.setattr(attention, "keep_mask", remembered)
    width = 8
    torch.manual_seed(0)
    qkv = torch.randn(batch, tokens, 3 * heads * width, requires_grad=True)
    gradient = torch.randn(batch, tokens, heads * width)
    before = qkv.detach().clone()
    mixed = attention.dropped_attention(qkv, heads, 0.3)
    assert torch.equal(qkv, before)
    assert len(masks) == groups
    (mine,) = torch.autograd.grad(mixed, qkv, gradient)
    assert len(masks) == (1 if groups == 1 else 2 * groups)
    assert all(torch.equal(again, first) for first, again in zip(masks, masks[groups:], strict=False))

    mask = torch.cat(masks[:groups]).view(batch, heads, tokens, tokens)
    q, k, v = qkv.unflatten(-1, (3, heads, width)).permute(2, 0, 3, 1, 4)
    weights = ((q * width**-0.5) @ k.transpose(-2, -1)).softmax(-1) * mask
    expected = (weights @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed, expected, rtol=1e-5, atol=1e-5)
    (theirs,) = torch.autograd.grad(expected, qkv, gradient)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_attention_weights_survive_scores_that_overflow_the_exponential():
    qkv = torch.full((1, 4, 6), 60.0)
    assert attention.dropped_attention(qkv, 1, 0.1).isfinite().all()


def test_a_second_derivative_of_dropped_attention_is_refused():
    qkv = torch.randn(2, 4, 6, requires_grad=True)
    mixed = attention.dropped_attention(qkv, 1, 0.1)
    with pytest.raises(RuntimeError, match=r"no second derivative on the CPU\. Fix"):
        torch.autograd.grad(mixed.sum(), qkv, create_graph=True)


def test_attention_drops_all_weights_with_probability_one():
    layer = attention.FullAttention(8, 2, dropout=1.0)
    mixed, _ = layer(torch.randn(2, 5, 8))
    torch.testing.assert_close(mixed, layer.proj.bias.expand(2, 5, 8))
    assert torch.equal(Dropout(1.0)(torch.randn(3)), torch.zeros(3))


def test_attention_among_no_windows_or_no_tokens_is_nothing():
    layer = attention.FullAttention(8, 2, dropout=0.3)
    assert [layer(torch.randn(shape))[0].shape for shape in ((0, 5, 8), (2, 0, 8))] == [(0, 5, 8), (2, 0, 8)]
