"""The feed-forward part of a transformer layer for series.

Official code: thuml/iTransformer @ c2426e6, layers/Transformer_EncDec.py. Changed here: the two kernel-1 convolutions
are linear layers (same numbers, no transposes).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.ops.cpu_layers import Dropout, Linear


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, dropout after each.

    Args:
        d_model: width of a token.
        d_ff: width between the two layers.
        dropout: probability that an element is dropped in training.
        activation: ``gelu`` (exact) or ``relu``.
    """

    def __init__(self, d_model: int, d_ff: int, dropout: float = 0.1, activation: str = "gelu"):
        super().__init__()
        activations = {"gelu": F.gelu, "relu": F.relu}
        if activation not in activations:
            raise ValueError(f"activation={activation!r} is not one of {sorted(activations)}")
        self.activation = activations[activation]
        self.fc1 = Linear(d_model, d_ff)
        self.fc2 = Linear(d_ff, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each of the ``tokens`` (B, N, C) by itself."""
        return self.dropout(self.fc2(self.dropout(self.activation(self.fc1(tokens)))))
