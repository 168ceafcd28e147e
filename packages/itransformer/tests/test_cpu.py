"""The ways of models/cpu.py and the attention built on them give what PyTorch's own layers give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mm_itransformer.models import attention, cpu
from mm_itransformer.models.cpu import Dropout, Linear, keep_mask


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (7, 24), (3, 5, 24), (2, 3, 4, 24)])
def test_linear_gives_the_values_and_gradients_of_pytorchs(shape, bias):
    torch.manual_seed(0)
    layer = Linear(24, 40, bias=bias)
    inputs = torch.randn(shape, requires_grad=True)
    gradient = torch.randn(*shape[:-1], 40)
    wanted = [inputs, *layer.parameters()]
    output = layer(inputs)
    expected = F.linear(inputs, layer.weight, layer.bias)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(output, wanted, gradient), torch.autograd.grad(expected, wanted, gradient), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_linear_reads_a_transposed_view_and_needs_no_gradient_of_its_input():
    torch.manual_seed(0)
    layer, inputs = Linear(24, 40), torch.randn(2, 24, 5)
    output = layer(inputs.transpose(1, 2))
    torch.testing.assert_close(output, F.linear(inputs.transpose(1, 2), layer.weight, layer.bias), rtol=1e-5, atol=1e-6)
    output.sum().backward()
    assert inputs.grad is None
    assert layer.weight.grad.shape == (40, 24)


def test_other_precisions_and_captured_graphs_take_pytorchs_layers(monkeypatch):
    monkeypatch.setattr(cpu, "product", lambda *_: pytest.fail("oneDNN was asked"))
    layer = Linear(4, 3)
    inputs = torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
    assert layer.double()(inputs.double()).dtype == torch.float64
    assert layer.to("meta")(inputs.to("meta")).is_meta
    for captures in ("torch.compiler.is_compiling", "torch.jit.is_tracing"):
        with monkeypatch.context() as patch:
            patch.setattr(captures, lambda: True)
            assert Linear(4, 3)(inputs).shape == (2, 3)


def test_function_transforms_and_empty_batches_take_pytorchs_layers(monkeypatch):
    monkeypatch.setattr(cpu, "product", lambda *_: pytest.fail("oneDNN was asked"))
    layer, inputs = Linear(4, 3), torch.randn(2, 4)
    gradient = torch.func.grad(lambda inputs: layer(inputs).sum())(inputs)
    torch.testing.assert_close(gradient, layer.weight.sum(0).expand(2, 4))
    assert torch.func.vmap(layer)(inputs).shape == (2, 3)
    layer(inputs[:0]).sum().backward()
    assert torch.equal(layer.weight.grad, torch.zeros(3, 4))


def test_the_second_derivatives_of_linear_are_those_of_pytorchs():
    torch.manual_seed(0)
    layer, inputs = Linear(4, 3), torch.randn(2, 4)

    def loss(apply):
        return lambda inputs, weight, bias: apply(inputs, weight, bias).sin().pow(2).sum()

    values = (inputs, layer.weight.detach(), layer.bias.detach())
    mine, theirs = (torch.autograd.functional.hessian(loss(f), values) for f in (cpu._Affine.apply, F.linear))
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    assert mine[0][0].any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_mask_drops_with_its_probability_and_keeps_the_mean(p):
    mask = keep_mask((301, 333), p, torch.Generator().manual_seed(0))
    assert mask.unique().tolist() == [0, pytest.approx(1 / (1 - p))]
    deviation = (p * (1 - p) / mask.numel()) ** 0.5
    assert (mask == 0).double().mean().item() == pytest.approx(p, abs=4 * deviation)
    halves = (mask == 0).double().view(-1)[: 4 * 25_000].view(-1, 4).mean(0)  # the four decisions of a draw
    assert halves.tolist() == pytest.approx([p] * 4, abs=4 * (p * (1 - p) / 25_000) ** 0.5)


@pytest.mark.parametrize("p", [1e-9, 1 - 1e-9])
def test_a_probability_next_to_nothing_or_all_stays_one(p):
    assert len(keep_mask((1000,), p).unique()) <= 2


def test_dropout_draws_anew_in_training_only_and_follows_the_seed():
    dropout, inputs = Dropout(0.5), torch.randn(64, 64, requires_grad=True)
    torch.manual_seed(3)
    first, second = dropout(inputs), dropout(inputs)
    torch.manual_seed(3)
    assert torch.equal(dropout(inputs), first)
    assert not torch.equal(first, second)
    (gradient,) = torch.autograd.grad(first.sum(), inputs)
    assert torch.equal(gradient != 0, first != 0)
    assert dropout.eval()(inputs) is inputs
    assert Dropout(0.0)(inputs) is inputs


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
