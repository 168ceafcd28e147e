"""Focal losses against torchvision's and the softmax's definition, their derivatives, and extreme logits."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import Function, gradcheck

from mmrepro.ops.ext.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)

SEEDS = st.integers(0, 2**32 - 1)
GAMMAS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5])
NO_WEIGHT = torch.zeros(0)


class Sigmoid(Function):
    """The two operators as mmcv's autograd function calls them, without the reduction."""

    @staticmethod
    def forward(ctx, logits, target, weight, gamma, alpha):
        ctx.save_for_backward(logits, target, weight)
        ctx.settings = dict(gamma=gamma, alpha=alpha)
        output = torch.zeros_like(logits)
        sigmoid_focal_loss_forward(logits, target, weight, output, **ctx.settings)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        logits, target, weight = ctx.saved_tensors
        grad_input = torch.zeros_like(logits)
        sigmoid_focal_loss_backward(logits, target, weight, grad_input, **ctx.settings)
        return grad_input * grad_output, None, None, None, None


class Softmax(Function):
    """As above; mmcv hands over the softmax of the logits."""

    @staticmethod
    def forward(ctx, logits, target, weight, gamma, alpha):
        softmax = logits.softmax(1)
        ctx.save_for_backward(softmax, target, weight)
        ctx.settings = dict(gamma=gamma, alpha=alpha)
        output = logits.new_zeros(len(logits))
        softmax_focal_loss_forward(softmax, target, weight, output, **ctx.settings)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        softmax, target, weight = ctx.saved_tensors
        buff, grad_input = softmax.new_zeros(len(softmax)), torch.zeros_like(softmax)
        softmax_focal_loss_backward(softmax, target, weight, buff, grad_input, **ctx.settings)
        return grad_input * grad_output[:, None], None, None, None, None


def draw(seed: int, rows: int, classes: int, highest: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets from -1 to ``highest``, and a weight for each class."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 3
    target = torch.randint(-1, highest + 1, (rows,), generator=generator)
    return logits, target, torch.rand(classes, generator=generator, dtype=torch.float64)


def row_weight(weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.tensor([weight[one] if 0 <= one < len(weight) else 1 for one in target.tolist()], dtype=weight.dtype)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=SEEDS, rows=st.integers(0, 6), classes=st.integers(1, 5), gamma=GAMMAS, weighted=st.booleans())
def test_sigmoid_is_torchvisions_with_one_hot_targets(seed, rows, classes, gamma, weighted):
    logits, target, weight = draw(seed, rows, classes, highest=classes)
    logits.requires_grad_()
    one_hot = (target[:, None] == torch.arange(classes)).double()
    expected = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha=0.25, gamma=gamma)
    if weighted:
        expected = expected * row_weight(weight, target)[:, None]
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)

    loss = Sigmoid.apply(logits, target, weight if weighted else NO_WEIGHT, gamma, 0.25)
    (grad,) = torch.autograd.grad(loss.sum(), logits)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(grad, expected_grad)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=SEEDS, rows=st.integers(0, 6), classes=st.integers(1, 5), gamma=GAMMAS, weighted=st.booleans())
def test_softmax_is_its_definition(seed, rows, classes, gamma, weighted):
    logits, target, weight = draw(seed, rows, classes, highest=classes - 1)
    if classes == 1:
        logits = logits.zero_()  # probability 1 everywhere: the power's own derivative would be infinite
    logits.requires_grad_()
    log_p = logits.log_softmax(1)[torch.arange(rows), target.clamp(min=0)]
    expected = -0.25 * (1 - log_p.exp()).clamp(min=1e-300) ** gamma * log_p * (target >= 0)
    if weighted:
        expected = expected * row_weight(weight, target)
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)

    loss = Softmax.apply(logits, target, weight if weighted else NO_WEIGHT, gamma, 0.25)
    (grad,) = torch.autograd.grad(loss.sum(), logits)

    torch.testing.assert_close(loss, expected)
    # 1 - p loses digits where p is near 1
    torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("loss", [Sigmoid, Softmax])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_gradcheck(loss, gamma):
    logits, target, weight = draw(7, 6, 4, highest=3)

    assert gradcheck(lambda x: loss.apply(x, target, weight, gamma, 0.3), logits.requires_grad_())


def test_softmax_buffer_is_the_probability_times_the_derivative_by_it():
    logits, target, weight = draw(11, 8, 4, highest=3)
    softmax = logits.softmax(1)
    p = softmax[torch.arange(8), target.clamp(min=0)].requires_grad_()
    loss = -0.25 * (1 - p) ** 2 * p.log() * row_weight(weight, target) * (target >= 0)
    (slope,) = torch.autograd.grad(loss.sum(), p)
    buff = torch.full((8,), -7.0, dtype=torch.float64)
    softmax_focal_loss_backward(softmax, target, weight, buff, torch.zeros_like(softmax), 2.0, 0.25)

    torch.testing.assert_close(buff, (slope * p).detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_sigmoid_of_extreme_logits(dtype, gamma):
    # The hard example's loss is its logit, not the 87 of a probability rounded to 0.
    logits = torch.tensor([[20.0, -20.0, 500.0, -500.0]], dtype=dtype)
    target, output, grad = torch.tensor([1]), torch.zeros_like(logits), torch.zeros_like(logits)
    sigmoid_focal_loss_forward(logits, target, NO_WEIGHT, output, gamma, 0.25)
    sigmoid_focal_loss_backward(logits, target, NO_WEIGHT, grad, gamma, 0.25)

    # one rounding to the type of the output
    torch.testing.assert_close(output, torch.tensor([[15.0, 5.0, 375.0, 0.0]], dtype=dtype), rtol=1e-2, atol=1e-8)
    torch.testing.assert_close(grad, torch.tensor([[0.75, -0.25, 0.75, 0.0]], dtype=dtype), rtol=1e-2, atol=1e-8)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_infinite_logits_and_certain_probabilities_have_finite_gradients(gamma):
    logits, grad = torch.tensor([[math.inf, -math.inf]]), torch.zeros(1, 2)
    for target in (0, 1):
        sigmoid_focal_loss_backward(logits, torch.tensor([target]), NO_WEIGHT, grad, gamma, 0.25)
        assert grad.isfinite().all()

    certain = torch.eye(2)
    for target in ([0, 1], [1, 0]):
        loss, buff, grad = torch.zeros(2), torch.zeros(2), torch.zeros(2, 2)
        softmax_focal_loss_forward(certain, torch.tensor(target), NO_WEIGHT, loss, gamma, 0.25)
        softmax_focal_loss_backward(certain, torch.tensor(target), NO_WEIGHT, buff, grad, gamma, 0.25)
        assert loss.isfinite().all()
        assert grad.isfinite().all()


def test_half_precision_is_the_float32_result_rounded_once():
    logits, target, weight = (one.float() if one.is_floating_point() else one for one in draw(2, 50, 6, highest=6))
    half = logits.half()
    expected, output = torch.zeros(50, 6), torch.zeros(50, 6, dtype=torch.float16)
    sigmoid_focal_loss_forward(half.float(), target, weight.half().float(), expected, 2.0, 0.25)
    sigmoid_focal_loss_forward(half, target, weight.half(), output, 2.0, 0.25)

    assert torch.equal(output, expected.half())


def test_targets_beyond_the_classes_are_named():
    logits = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="target holds 4: it must be one of 3 classes, 3 "):
        sigmoid_focal_loss_forward(logits, torch.tensor([1, 4]), NO_WEIGHT, torch.zeros(2, 3), 2.0, 0.25)
    with pytest.raises(ValueError, match="target holds 3: it must be one of 3 classes or negative"):
        softmax_focal_loss_forward(logits, torch.tensor([1, 3]), NO_WEIGHT, torch.zeros(2), 2.0, 0.25)
