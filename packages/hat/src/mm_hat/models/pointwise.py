"""Layers that work on each token by itself: linear layers, the feed-forward part and stochastic depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGES = 16  # from this batch on PyTorch hands 1x1 convolutions to oneDNN on one thread too; before, to MKL
CHUNK = 1024  # tokens that the feed-forward part takes at a time in inference on the CPU


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``tokens @ weight.T + bias``, on the CPU by oneDNN.

    PyTorch gives matrix products in float32 to MKL, which uses no AVX-512 on AMD processors; convolutions go to
    oneDNN, which does. A 1x1 convolution over channels-last maps is the same product on the same memory layout.

    Args:
        tokens: (..., C).
        weight: (O, C).
        bias: (O).

    Returns:
        (..., O).
    """
    count = tokens.numel() // tokens.shape[-1]
    if (
        tokens.device.type != "cpu"
        or tokens.dtype != torch.float32
        or torch.is_autocast_enabled("cpu")
        or count % IMAGES
    ):
        return F.linear(tokens, weight, bias)
    maps = tokens.reshape(IMAGES, count // IMAGES, 1, -1).permute(0, 3, 1, 2)  # (16, C, count/16, 1)
    maps = F.conv2d(maps, weight[:, :, None, None], bias)
    return maps.permute(0, 2, 3, 1).reshape(*tokens.shape[:-1], -1)


class PointwiseLinear(nn.Linear):
    """A linear layer over the last axis, fast on the CPU: (..., C) to (..., O)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply the layer: (..., C) to (..., O)."""
        return linear(tokens, self.weight, self.bias)


class Mlp(nn.Module):
    """The feed-forward part of a block: C to ``hidden``, GELU (the exact one), and back.

    Args:
        channels: width C of a token.
        hidden: width between the layers.
        dropout: probability after each layer.
    """

    def __init__(self, channels: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.fc1 = PointwiseLinear(channels, hidden)
        self.fc2 = PointwiseLinear(hidden, channels)
        self.dropout = dropout

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply both layers: (..., C) to the same."""
        if torch.is_grad_enabled() or self.training or tokens.device.type != "cpu":
            return self._both(tokens)
        flat = tokens.flatten(0, -2)
        result = torch.empty_like(flat)  # the layers' width between is never whole, which is most of a block's memory
        for part, into in zip(flat.split(CHUNK), result.split(CHUNK), strict=True):
            into.copy_(self._both(part))
        return result.view_as(tokens)

    def _both(self, tokens: Tensor) -> Tensor:
        hidden = F.dropout(F.gelu(self.fc1(tokens)), self.dropout, self.training)
        return F.dropout(self.fc2(hidden), self.dropout, self.training)


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training leave out a branch for whole samples, scale it for the others.

    Args:
        rate: probability of leaving it out.
    """

    def __init__(self, rate: float = 0.0):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch (B, ...), in training without some samples."""
        if not self.training or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        kept = torch.rand(branch.shape[0], *(1,) * (branch.ndim - 1), dtype=branch.dtype, device=branch.device) < keep
        return branch * (kept / keep).to(branch.dtype)
