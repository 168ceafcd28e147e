"""Two things that PyTorch does slowly on the CPU, done fast in single precision: matrix products and dropout.

What it brings stands in the package's ``benchmarks.json``.

- Products of float32 go through oneDNN, with gradients (:mod:`mmrepro.ops.onednn`), but for gradients on Intel's
  processors, where MKL is faster.
- Dropout takes four elements' decisions from one 64-bit draw; PyTorch draws 53 bits for each. The probability is
  thereby rounded to a multiple of 2**-16: 0.1 becomes 0.100006.

On other devices, in other precisions, while a graph is captured and in ``torch.func`` these are PyTorch's own layers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.ops.onednn import is_fast, mkl_is_fast, product

_DECISIONS = 2**16


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        needs_inputs, needs_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(inputs if needs_weight else None, weight if needs_inputs else None)
        return product(inputs, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        # with create_graph, one that has a gradient itself
        times = F.linear if torch.is_grad_enabled() or mkl_is_fast() else product
        rows = gradient.reshape(-1, gradient.shape[-1])
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            times(gradient, weight.t()) if needs_inputs else None,
            times(rows.t(), inputs.reshape(-1, inputs.shape[-1]).t()) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


def affine(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``inputs @ weight.T + bias``, by oneDNN on the CPU, with gradients.

    Args:
        inputs: (..., C).
        weight: (O, C).
        bias: (O).

    Returns:
        (..., O).
    """
    if is_fast(inputs) and weight.dtype == inputs.dtype:
        return _Affine.apply(inputs, weight, bias)
    return F.linear(inputs, weight, bias)


class Linear(nn.Linear):
    """``nn.Linear``, by oneDNN on the CPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Transform the last axis of ``inputs`` (..., in_features)."""
        return affine(inputs, self.weight, self.bias)


def keep_mask(shape: tuple[int, ...], p: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw what dropout multiplies by: 0 with probability ``p``, else ``1 / (1 - p)``, float32 on the CPU."""
    elements = math.prod(shape)
    draws = torch.empty((elements + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    # Four signed 16-bit numbers each; the lowest are dropped: clamped to (highest dropped, lowest kept), then (0, 1).
    dropped = min(max(round(p * _DECISIONS), 1), _DECISIONS - 1)
    highest = dropped - _DECISIONS // 2 - 1
    decisions = draws.view(torch.int16)[:elements].clamp_(highest, highest + 1).sub_(highest)
    return decisions.to(torch.float32).mul_(1 / (1 - p)).view(shape)


class Dropout(nn.Dropout):
    """``nn.Dropout``, with cheaper random numbers on the CPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop elements of ``inputs`` (any shape) in training."""
        if self.training and 0 < self.p < 1 and is_fast(inputs):
            return inputs * keep_mask(inputs.shape, self.p)
        return super().forward(inputs)
