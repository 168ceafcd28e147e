"""What a block does with each token by itself: the feed-forward part and stochastic depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.ops.pointwise import PointwiseLinear

CHUNK = 1024  # tokens that the feed-forward part takes at a time in inference on the CPU


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
