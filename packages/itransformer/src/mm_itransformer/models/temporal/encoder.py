"""The encoder over time tokens, with Informer's halving of the sequence between its layers.

Official code: thuml/iTransformer @ c2426e6, layers/Transformer_EncDec.py (``Encoder``, ``ConvLayer``). Its layers are
those of the inverted models.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_itransformer.models.encoder import InvertedEncoderLayer


class Distilling(nn.Module):
    """Halve a sequence: convolution, batch norm, ELU, maximum over three neighbours at every second step.

    The convolution pads two steps on each side as in the official code, so 96 steps become 98 and then 49.

    Args:
        d_model: width of a token.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.conv = nn.Conv1d(d_model, d_model, 3, padding=2, padding_mode="circular")
        self.norm = nn.BatchNorm1d(d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn ``tokens`` (B, N, C) into (B, N // 2 + 1, C)."""
        steps = F.elu(self.norm(self.conv(tokens.transpose(1, 2))))
        return F.max_pool1d(steps, kernel_size=3, stride=2, padding=1).transpose(1, 2)


class TemporalEncoder(nn.Module):
    """A stack of layers with one more norm at its end.

    Args:
        d_model: width of a token.
        d_ff: width inside the feed-forward part.
        n_heads: number of attention heads.
        e_layers: number of layers.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        attention: registry config of the attention.
        distil: halve the sequence after every layer but the last.
        with_cp: compute each layer again in the backward pass. The halvings are not: their batch norm must see every
            batch once.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        n_heads: int,
        e_layers: int,
        dropout: float,
        activation: str,
        attention: dict,
        distil: bool = False,
        with_cp: bool = False,
    ):
        super().__init__()
        self.with_cp = with_cp
        self.layers = nn.ModuleList(
            InvertedEncoderLayer(d_model, d_ff, n_heads, dropout, activation, attention) for _ in range(e_layers)
        )
        self.distilling = nn.ModuleList(Distilling(d_model) for _ in range(e_layers - 1 if distil else 0))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode ``tokens`` (B, N, C) to (B, M, C), where M is N without distilling."""
        for i, layer in enumerate(self.layers):
            if self.with_cp and torch.is_grad_enabled():
                tokens, _ = checkpoint(layer, tokens, use_reentrant=False)
            else:
                tokens, _ = layer(tokens)
            if i < len(self.distilling):
                tokens = self.distilling[i](tokens)
        return self.norm(tokens)
