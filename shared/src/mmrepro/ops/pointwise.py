"""Linear layers over the last axis that are fast on the CPU, with the parameters of :class:`torch.nn.Linear`."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.ops.onednn import is_fast, product

IMAGES = 16  # from this batch on PyTorch hands 1x1 convolutions to oneDNN on one thread too; before, to MKL
MOST_IMAGES = 128


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``tokens @ weight.T + bias``, on the CPU by oneDNN where no gradient is kept or the tokens allow it.

    PyTorch gives matrix products in float32 to MKL, which uses no AVX-512 on AMD processors; convolutions go to
    oneDNN, which does. A 1x1 convolution over channels-last maps is the same product on the same memory layout, and
    has gradients; it needs a number of tokens that makes equal images. Without gradients there is a direct way.

    Args:
        tokens: (..., C).
        weight: (O, C).
        bias: (O).

    Returns:
        (..., O).
    """
    if not is_fast(tokens) or weight.dtype != tokens.dtype:
        return F.linear(tokens, weight, bias)
    images = _images(tokens.numel() // tokens.shape[-1])
    if images is None:
        return F.linear(tokens, weight, bias) if torch.is_grad_enabled() else product(tokens, weight, bias)
    maps = tokens.reshape(images, -1, 1, tokens.shape[-1]).permute(0, 3, 1, 2)  # (images, C, N / images, 1)
    maps = F.conv2d(maps, weight[:, :, None, None], bias)
    return maps.permute(0, 2, 3, 1).reshape(*tokens.shape[:-1], -1)


class PointwiseLinear(nn.Linear):
    """A linear layer over the last axis, fast on the CPU: (..., C) to (..., O)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply the layer: (..., C) to (..., O)."""
        return linear(tokens, self.weight, self.bias)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as a linear layer, fast on the CPU for channels-last maps: (B, C, H, W) to (B, O, H, W).

    Args:
        inputs: C.
        outputs: O.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the convolution; the result is channels-last in memory."""
        return linear(maps.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def with_pointwise(module: nn.Module) -> nn.Module:
    """Make the linear layers of a module :class:`PointwiseLinear`, in place: parameters and names stay."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.__class__ = PointwiseLinear
    return module


@lru_cache(maxsize=1024)
def _images(tokens: int) -> int | None:
    """Return how many equal images the tokens make, None where they make no suitable number."""
    return next((n for n in range(IMAGES, MOST_IMAGES + 1) if tokens % n == 0), None)
