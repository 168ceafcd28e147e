"""The decoder's attention, from one sequence of time tokens to another or to itself.

Official code: thuml/iTransformer @ c2426e6, layers/SelfAttention_Family.py (``AttentionLayer`` around
``FullAttention``).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Softmax attention of the tokens of one sequence to those of another.

    Args:
        d_model: width of a token.
        n_heads: number of heads, each ``d_model // n_heads`` wide.
        dropout: probability that an attention weight is dropped in training.
        causal: whether a token sees only those up to its own place; the sequences are equally long then.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float, causal: bool):
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.causal = causal
        inner = d_model // n_heads * n_heads
        self.q = nn.Linear(d_model, inner)
        self.k = nn.Linear(d_model, inner)
        self.v = nn.Linear(d_model, inner)
        self.proj = nn.Linear(inner, d_model)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Return for each of the ``tokens`` (B, N, C) what it draws from ``memory`` (B, M, C): (B, N, C)."""
        # (B, N, h*d) -> (B, h, N, d)
        q, k, v = (
            layer(sequence).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for layer, sequence in ((self.q, tokens), (self.k, memory), (self.v, memory))
        )
        return self.proj(self.mix(q, k, v))

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the heads' results side by side (B, N, h*d) for q (B, h, N, d), k and v (B, h, M, d)."""
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=self.causal)
        return mixed.transpose(1, 2).flatten(2)
