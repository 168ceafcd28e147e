"""The steps of mmcv's synchronised batch normalisation on one rank, with the signatures of ``mmcv._ext``.

mmcv reduces the results over the ranks between the calls. Inputs are ``(B, C, S)``, float16 or float32; statistics,
parameters and ``norm`` (the normalised input) are float32. All functions write their results in place.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the mean of ``input`` over batch and positions into ``mean`` ``(C,)``."""
    mean.copy_(input.mean((0, 2), dtype=mean.dtype))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the mean squared distance of ``input`` from ``mean`` into ``var`` ``(C,)``."""
    var.copy_((input.to(var.dtype) - mean[:, None]).square_().mean((0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Write the normalised input into ``norm``, ``sqrt(var + eps)`` into ``std``, the affine result into ``output``.

    The running statistics move by ``momentum`` towards ``mean`` and the unbiased variance over ``group_size`` equal
    ranks.
    """
    torch.sqrt(var + eps, out=std)
    torch.sub(input, mean[:, None], out=norm)
    norm.div_(std[:, None])
    output.copy_(norm if weight is None else torch.addcmul(bias[:, None], norm, weight[:, None]))
    if running_mean is not None:
        count = input.shape[0] * input.shape[2] * group_size
        unbiased = var * (count / (count - 1)) if count > 1 else var
        running_mean.copy_(momentum * mean + (1 - momentum) * running_mean)
        running_var.copy_(momentum * unbiased + (1 - momentum) * running_var)


def sync_bn_backward_param(grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> None:
    """Write the gradients with respect to weight and bias, each ``(C,)``."""
    grad_weight.copy_((grad_output * norm).sum((0, 2)))
    grad_bias.copy_(grad_output.sum((0, 2), dtype=grad_bias.dtype))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Write the gradient with respect to the input from the reduced ``grad_weight`` and ``grad_bias``."""
    count = norm.shape[0] * norm.shape[2]
    through_statistics = torch.addcmul(grad_bias[:, None], norm, grad_weight[:, None]).div_(count)
    grad_input.copy_((grad_output - through_statistics).mul_((weight / std)[:, None]))
