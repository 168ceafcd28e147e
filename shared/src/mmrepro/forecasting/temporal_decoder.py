"""The decoder over time tokens: the known last steps and the unknown next ones look at themselves and at the encoder.

Official code: thuml/iTransformer @ c2426e6, layers/Transformer_EncDec.py (``Decoder``, ``DecoderLayer``). Changed here:
the two kernel-1 convolutions are linear layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.forecasting.cross_attention import CrossAttention
from mmrepro.forecasting.feed_forward import FeedForward


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, then feed-forward, each with a residual and a norm after it.

    Args:
        d_model, d_ff, n_heads, dropout, activation, attention: see :class:`TemporalDecoder`.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        n_heads: int,
        dropout: float,
        activation: str,
        attention: Callable[..., CrossAttention],
    ):
        super().__init__()
        self.self_attn = attention(d_model, n_heads, dropout, causal=True)
        self.cross_attn = attention(d_model, n_heads, dropout, causal=False)
        self.ffn = FeedForward(d_model, d_ff, dropout, activation)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Transform ``tokens`` (B, N, C), given the encoder's ``memory`` (B, M, C)."""
        tokens = self.norm1(tokens + self.dropout(self.self_attn(tokens, tokens)))
        tokens = self.norm2(tokens + self.dropout(self.cross_attn(tokens, memory)))
        return self.norm3(tokens + self.ffn(tokens))


class TemporalDecoder(nn.Module):
    """A stack of layers with one more norm at its end.

    Args:
        d_model: width of a token.
        d_ff: width inside the feed-forward part.
        n_heads: number of attention heads.
        d_layers: number of layers.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        attention: what makes the two attentions of a layer, called as :class:`CrossAttention` is.
        with_cp: compute each layer again in the backward pass.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        n_heads: int,
        d_layers: int,
        dropout: float,
        activation: str,
        attention: Callable[..., CrossAttention] = CrossAttention,
        with_cp: bool = False,
    ):
        super().__init__()
        self.with_cp = with_cp
        self.layers = nn.ModuleList(
            DecoderLayer(d_model, d_ff, n_heads, dropout, activation, attention) for _ in range(d_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Decode ``tokens`` (B, N, C), given the encoder's ``memory`` (B, M, C)."""
        for layer in self.layers:
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, memory, use_reentrant=False)
            else:
                tokens = layer(tokens, memory)
        return self.norm(tokens)
