"""Softmax attention between variate tokens.

Paper: iTransformer (arXiv 2310.06625), section 3.2. Official code: thuml/iTransformer @ c2426e6,
layers/SelfAttention_Family.py (``FullAttention`` inside ``AttentionLayer``). Changed here: one fused projection for
queries, keys and values, and ``scaled_dot_product_attention`` where it is faster and nobody asks for the map.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn


def fused_linear(in_features: int, out_features: int, parts: int) -> nn.Linear:
    """Return one linear layer ``in -> parts * out`` that starts as ``parts`` separate layers, drawn one after another.

    The random stream is then the one of the official code, which has a layer for each of query, key and value.
    """
    separate = [nn.Linear(in_features, out_features) for _ in range(parts)]
    fused = nn.utils.skip_init(nn.Linear, in_features, parts * out_features, device=separate[0].weight.device)
    with torch.no_grad():
        fused.weight.copy_(torch.cat([layer.weight for layer in separate]))
        fused.bias.copy_(torch.cat([layer.bias for layer in separate]))
    return fused


@MODELS.register_module()
class FullAttention(nn.Module):
    """Every token attends to every token.

    Args:
        d_model: width of a token.
        n_heads: number of heads. A head is ``d_model // n_heads`` wide, so the inner width is below ``d_model`` where
            the division leaves a rest, as in the official code; a warning says so.
        dropout: probability that an attention weight is dropped in training.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.1):
        super().__init__()
        if d_model < n_heads:
            raise ValueError(f"d_model={d_model} is smaller than n_heads={n_heads}: a head would have no width")
        self.n_heads = n_heads
        self.dropout = dropout
        inner = d_model // n_heads * n_heads
        if inner < d_model:
            warnings.warn(
                f"d_model={d_model} is no multiple of n_heads={n_heads}: the heads are {inner // n_heads} wide, "
                f"{inner} together. For a new model choose a multiple",
                stacklevel=2,
            )
        self.qkv = fused_linear(d_model, inner, parts=3)
        self.proj = nn.Linear(inner, d_model)

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """Mix ``tokens`` (B, N, C).

        Returns:
            The mixed tokens (B, N, C), and with ``need_map`` the attention weights (B, h, N, N), else None.
        """
        # (B, N, 3*h*d) -> (3, B, h, N, d)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        weights = None
        # On the CPU dropout leaves no fused kernel, and what takes its place is slower than the product written out.
        if need_map or (dropout and q.device.type == "cpu"):
            weights = F.dropout(((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1), dropout)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        # (B, h, N, d) -> (B, N, h*d)
        return self.proj(mixed.transpose(1, 2).flatten(2)), weights if need_map else None
