"""Synchronised batch normalisation served for mmcv: against batch normalisation of the ranks' inputs together."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import Function

from mmrepro.ops.ext import sync_bn as ext

EPS = 1e-5


class SyncBatchNorm(Function):
    """Calls the operators as mmcv's autograd function does, for ranks of equal batches in one process."""

    @staticmethod
    def forward(ctx, weight, bias, running_mean, running_var, momentum, *ranks):
        channels = ranks[0].shape[1]
        statistics = ranks[0].new_zeros(2, len(ranks), channels, dtype=weight.dtype)
        for rank, mean in zip(ranks, statistics[0], strict=True):
            ext.sync_bn_forward_mean(rank, mean)
        mean = statistics[0].mean(0)
        for rank, var in zip(ranks, statistics[1], strict=True):
            ext.sync_bn_forward_var(rank, mean, var)
        var, std = statistics[1].mean(0), torch.empty_like(mean)
        norms = [torch.empty_like(rank, dtype=weight.dtype) for rank in ranks]
        outputs = [torch.empty_like(rank) for rank in ranks]
        for number, (rank, norm, output) in enumerate(zip(ranks, norms, outputs, strict=True)):
            # each rank has running statistics of its own, all equal
            running = (running_mean, running_var) if number == 0 else (running_mean.clone(), running_var.clone())
            ext.sync_bn_forward_output(
                rank, mean, var, weight, bias, *running, norm, std, output, EPS, momentum, len(ranks)
            )
        ctx.save_for_backward(weight, std, *norms)
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *grads):
        weight, std, *norms = ctx.saved_tensors
        parts = weight.new_zeros(2, len(grads), len(weight))
        for grad, norm, grad_weight, grad_bias in zip(grads, norms, *parts, strict=True):
            ext.sync_bn_backward_param(grad, norm, grad_weight, grad_bias)
        grad_weight, grad_bias = parts.mean(1)
        inputs = [torch.empty_like(grad) for grad in grads]
        for grad, norm, grad_input in zip(grads, norms, inputs, strict=True):
            ext.sync_bn_backward_data(grad, weight, grad_weight, grad_bias, norm, std, grad_input)
        # mmcv leaves the mean over the ranks, as distributed training averages gradients
        return grad_weight * len(grads), grad_bias * len(grads), None, None, None, *inputs


def parameters(channels: int, generator: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
    weight, bias = (torch.randn(channels, generator=generator, dtype=dtype).requires_grad_() for _ in range(2))
    return [weight, bias, torch.randn(channels, generator=generator, dtype=dtype), torch.rand(channels, dtype=dtype)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    ranks=st.integers(1, 3),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 5)),
    seed=st.integers(0, 99),
)
def test_is_batch_normalisation_of_all_ranks(ranks, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ranks, *shape, generator=generator, dtype=torch.float64).requires_grad_()
    weight, bias, running_mean, running_var = parameters(shape[1], generator, torch.float64)
    expected_mean, expected_var = running_mean.clone(), running_var.clone()
    output = torch.cat(SyncBatchNorm.apply(weight, bias, running_mean, running_var, torch.tensor(0.3), *inputs))
    expected = F.batch_norm(inputs.flatten(0, 1), expected_mean, expected_var, weight, bias, True, 0.3, EPS)
    upper = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    ours, wanted = (torch.autograd.grad(one, (inputs, weight, bias), upper) for one in (output, expected))
    # The momentum is a float32 tensor, as in mmcv: its 0.3 is off by 1e-8. The gradient divides by a standard deviation
    # that may be small with two values in all: 1e-9 leaves room for 1e6 rounding errors.
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((running_mean, running_var), (expected_mean, expected_var), rtol=1e-6, atol=1e-6)


def test_gradients_are_finite_differences():
    generator = torch.Generator().manual_seed(0)
    weight, bias, *running = parameters(2, generator, torch.float64)
    ranks = torch.randn(2, 2, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(
        lambda weight, bias, ranks: SyncBatchNorm.apply(weight, bias, *(one.clone() for one in running), 0.1, *ranks),
        (weight, bias, ranks),
    )


def test_half_inputs_have_statistics_in_single_precision():
    generator = torch.Generator().manual_seed(0)
    inputs = (100 + torch.randn(4, 3, 500, generator=generator)).half()
    weight, bias, *running = parameters(3, generator, torch.float32)
    (output,) = SyncBatchNorm.apply(weight, bias, *running, 0.1, inputs)
    expected = F.batch_norm(inputs.double(), None, None, weight.double(), bias.double(), True, 0.1, EPS)
    assert output.dtype == torch.float16
    # half a unit of float16 in the last place, and float32's error of the mean near 100 (some 1e-5) before it
    torch.testing.assert_close(output.double(), expected, rtol=2**-10, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, torch.tensor(0.0)])
def test_without_momentum_the_running_statistics_stay(momentum):
    generator = torch.Generator().manual_seed(0)
    weight, bias, running_mean, running_var = parameters(3, generator, torch.float32)
    before = running_mean.clone(), running_var.clone()
    SyncBatchNorm.apply(weight, bias, running_mean, running_var, momentum, torch.randn(2, 3, 4))
    torch.testing.assert_close((running_mean, running_var), before, rtol=0, atol=0)


def test_parameters_and_running_statistics_may_be_missing():
    inputs = torch.randn(2, 3, 4)
    mean, var = torch.empty(2, 3)
    ext.sync_bn_forward_mean(inputs, mean)
    ext.sync_bn_forward_var(inputs, mean, var)
    norm, output, std = torch.empty_like(inputs), torch.empty_like(inputs), torch.empty(3)
    ext.sync_bn_forward_output(inputs, mean, var, None, None, None, None, norm, std, output, EPS, 0.1, 1)
    torch.testing.assert_close(output, norm, rtol=0, atol=0)
    torch.testing.assert_close(output, F.batch_norm(inputs, None, None, training=True, eps=EPS))
