"""The layers of cpu_layers give what PyTorch's own layers give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmrepro.ops import cpu_layers, onednn
from mmrepro.ops.cpu_layers import Dropout, Linear, affine, keep_mask


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (7, 24), (3, 5, 24), (2, 3, 4, 24)])
@pytest.mark.parametrize("mkl", [True, False])
def test_linear_gives_the_values_and_gradients_of_pytorchs(monkeypatch, mkl, shape, bias):
    asked = []
    monkeypatch.setattr(cpu_layers, "mkl_is_fast", lambda: mkl)
    monkeypatch.setattr(cpu_layers, "product", lambda *given: asked.append(len(given)) or onednn.product(*given))
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
    assert asked == ([3] if mkl else [3, 2, 2])  # the gradients of inputs and weight are MKL's where it is faster


@pytest.mark.parametrize(("vendor", "fast"), [("GenuineIntel", torch.backends.mkl.is_available()), ("AMD", False)])
def test_mkl_is_fast_on_intels_processors(monkeypatch, tmp_path, vendor, fast):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(onednn, "Path", lambda _: tmp_path / "cpuinfo")
    assert onednn.mkl_is_fast.__wrapped__() is fast
    (tmp_path / "cpuinfo").unlink()
    monkeypatch.setattr(onednn.platform, "processor", lambda: f"Family 6, {vendor}")
    assert onednn.mkl_is_fast.__wrapped__() is fast


def test_linear_reads_a_transposed_view_and_needs_no_gradient_of_its_input():
    torch.manual_seed(0)
    layer, inputs = Linear(24, 40), torch.randn(2, 24, 5)
    output = layer(inputs.transpose(1, 2))
    torch.testing.assert_close(output, F.linear(inputs.transpose(1, 2), layer.weight, layer.bias), rtol=1e-5, atol=1e-6)
    output.sum().backward()
    assert inputs.grad is None
    assert layer.weight.grad.shape == (40, 24)


def test_only_what_a_gradient_needs_is_kept():
    layer, kept = Linear(24, 40), []
    inputs = torch.randn(5, 24, requires_grad=True)

    def keep(tensor):
        kept.append(tensor.data_ptr())
        return tensor

    for frozen, wanted in ((True, [layer.weight]), (False, [inputs, layer.weight])):
        layer.requires_grad_(not frozen)
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = layer(inputs)
        assert kept == [one.data_ptr() for one in wanted]
        output.sum().backward()
    torch.testing.assert_close(inputs.grad, 2 * layer.weight.sum(0).expand(5, -1))


def test_a_product_with_a_part_of_a_weight_is_pytorchs():
    weight, bias = torch.randn(12, 24, requires_grad=True), torch.randn(12, requires_grad=True)
    inputs = torch.randn(2, 3, 24)
    mine, theirs = affine(inputs, weight[4:], bias[4:]), F.linear(inputs, weight[4:], bias[4:])
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    gradients = (torch.autograd.grad(out.square().sum(), (weight, bias)) for out in (mine, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_other_precisions_and_captured_graphs_take_pytorchs_layers(monkeypatch):
    monkeypatch.setattr(cpu_layers, "product", lambda *_: pytest.fail("oneDNN was asked"))
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
    monkeypatch.setattr(cpu_layers, "product", lambda *_: pytest.fail("oneDNN was asked"))
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
    mine, theirs = (torch.autograd.functional.hessian(loss(f), values) for f in (cpu_layers._Affine.apply, F.linear))
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
