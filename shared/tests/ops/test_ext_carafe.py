"""CARAFE served for mmcv: both variants against a formulation with unfold, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function

from mmrepro.ops.ext import carafe as ext

FEW = settings(max_examples=30, deadline=None, derandomize=True)


class Naive(Function):
    """Calls the operators as mmcv's autograd function does."""

    @staticmethod
    def forward(ctx, features, masks, kernel, groups, scale):
        ctx.save_for_backward(features, masks)
        ctx.arguments = dict(kernel_size=kernel, group_size=groups, scale_factor=scale)
        batch, channels, height, width = features.shape
        output = features.new_full((batch, channels, height * scale, width * scale), math.nan)
        assert ext.carafe_naive_forward(features, masks, output, **ctx.arguments) is None
        return output

    @staticmethod
    def backward(ctx, grad):
        buffers = [torch.ones_like(one) for one in ctx.saved_tensors]  # added to
        ext.carafe_naive_backward(grad.contiguous(), *ctx.saved_tensors, *buffers, **ctx.arguments)
        return buffers[0] - 1, buffers[1] - 1, None, None, None


class Carafe(Function):
    """Calls the operators as mmcv's autograd function does, which keeps what the forward left in `rfeatures`."""

    @staticmethod
    def forward(ctx, features, masks, kernel, groups, scale):
        ctx.arguments = dict(kernel_size=kernel, group_size=groups, scale_factor=scale)
        batch, channels, height, width = features.shape
        output = features.new_full((batch, channels, height * scale, width * scale), math.nan)
        rfeatures = features.new_zeros(features.shape)
        ext.carafe_forward(
            features, masks, rfeatures, torch.zeros_like(output), torch.zeros_like(masks), output, **ctx.arguments
        )
        ctx.save_for_backward(features, masks, rfeatures)
        return output

    @staticmethod
    def backward(ctx, grad):
        features, masks, rfeatures = ctx.saved_tensors
        scratch = [torch.zeros_like(one) for one in (grad, grad, features, masks)]
        written = [torch.full_like(one, math.nan) for one in (features, masks)]
        ext.carafe_backward(grad.contiguous(), rfeatures, masks, *scratch, *written, **ctx.arguments)
        return *written, None, None, None


def unfolded(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """Equation 3 of arXiv:1905.02188 on all windows at once."""
    batch, channels, height, width = features.shape
    windows = F.unfold(features, kernel, padding=kernel // 2)
    windows = windows.view(batch, groups, channels // groups, kernel * kernel, height, 1, width, 1)
    weights = masks.view(batch, groups, 1, kernel * kernel, height, scale, width, scale)
    return (windows * weights).sum(3).view(batch, channels, height * scale, width * scale)


def tensors(seed: int, batch: int, channels: int, size: tuple, arguments: tuple, dtype=torch.float64) -> list[Tensor]:
    kernel, groups, scale = arguments
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, channels * groups, *size, generator=generator, dtype=torch.float64)
    masks = (batch, groups * kernel * kernel, size[0] * scale, size[1] * scale)
    masks = torch.randn(masks, generator=generator, dtype=torch.float64)
    return [one.to(dtype).requires_grad_() for one in (features, masks)]


@pytest.mark.parametrize("variant", [Naive, Carafe])
@FEW
@given(
    seed=st.integers(0, 99),
    batch=st.integers(0, 3),
    channels=st.integers(1, 3),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    arguments=st.tuples(st.sampled_from([3, 1, 5]), st.integers(1, 3), st.integers(1, 3)),
)
def test_is_the_unfolded_formulation(variant, seed, batch, channels, size, arguments):
    inputs = tensors(seed, batch, channels, size, arguments)
    output, expected = variant.apply(*inputs, *arguments), unfolded(*inputs, *arguments)
    # 1e-12: sums of at most 25 (forward) and 225 (backward) products of size one in another order
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    upper = torch.randn_like(output)
    gradients, wanted = (torch.autograd.grad(one, inputs, upper) for one in (output, expected))
    torch.testing.assert_close(gradients, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", [Naive, Carafe])
def test_an_empty_batch_has_empty_gradients(variant):
    inputs = tensors(0, 0, 2, (3, 4), (3, 2, 2))
    output = variant.apply(*inputs, 3, 2, 2)

    assert output.shape == (0, 4, 6, 8)
    assert [one.shape for one in torch.autograd.grad(output.sum(), inputs)] == [one.shape for one in inputs]


@pytest.mark.parametrize("variant", [Naive, Carafe])
def test_gradients_are_finite_differences(variant):
    arguments = (3, 2, 2)
    torch.autograd.gradcheck(lambda *inputs: variant.apply(*inputs, *arguments), tensors(0, 2, 1, (2, 3), arguments))


def test_strips_of_rows_change_nothing(monkeypatch):
    arguments = (5, 1, 2)
    inputs = tensors(0, 2, 2, (7, 3), arguments)

    def run() -> list[Tensor]:
        output = Carafe.apply(*inputs, *arguments)
        return [output, *torch.autograd.grad(output.square().sum(), inputs)]

    whole = run()
    monkeypatch.setattr(ext, "_WINDOW_ELEMENTS_CPU", 2 * 2 * 3 * 25 * 2)  # two rows of seven
    torch.testing.assert_close(run(), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    arguments = (5, 1, 2)
    inputs = tensors(0, 1, 8, (4, 4), arguments, dtype)
    wide = [one.detach().float().requires_grad_() for one in inputs]
    output, expected = Carafe.apply(*inputs, *arguments), Carafe.apply(*wide, *arguments)
    torch.testing.assert_close(output, expected.to(dtype), rtol=0, atol=0)
    gradients = torch.autograd.grad(output, inputs, torch.ones_like(output))
    wanted = torch.autograd.grad(expected, wide, torch.ones_like(expected))
    torch.testing.assert_close(gradients, tuple(one.to(dtype) for one in wanted), rtol=0, atol=0)


def test_autocast_does_not_act_inside():
    arguments = (3, 1, 2)
    inputs = tensors(0, 1, 4, (4, 4), arguments, torch.float32)

    def run() -> list[Tensor]:
        output = Carafe.apply(*inputs, *arguments)
        return [output, *torch.autograd.grad(output.sum(), inputs)]

    expected = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(run(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "masks", "message"),
    [
        ((2, 1, 2), (1, 4, 6, 6), "the kernel is odd"),
        ((3, 3, 2), (1, 27, 6, 6), "groups divide the 4 channels"),
        ((3, 1, 2), (1, 9, 6, 3), r"masks have the shape \(1, 9, 6, 6\) .* got \(1, 9, 6, 3\)"),
        ((3, 2, 2), (1, 9, 6, 6), "masks have the shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(arguments, masks, message):
    with pytest.raises(ValueError, match=message):
        Naive.apply(torch.zeros(1, 4, 3, 3), torch.zeros(masks), *arguments)
