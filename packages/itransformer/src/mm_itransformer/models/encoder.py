"""The encoder over variate tokens: attention mixes series, the feed-forward part works along each series.

Paper: iTransformer (arXiv 2310.06625), equation 1 and figure 2. Official code: thuml/iTransformer @ c2426e6,
layers/Transformer_EncDec.py. Changed here: after the last attention only the variates' tokens go on, since nothing
reads the others.
"""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.forecasting.feed_forward import FeedForward
from mmrepro.ops.cpu_layers import Dropout


class InvertedEncoderLayer(nn.Module):
    """Attention, then feed-forward, each with a residual and a norm after it.

    Args:
        d_model, d_ff, n_heads, dropout, activation: see :class:`InvertedEncoder`.
        attention: registry config of the attention; it gets ``d_model``, ``n_heads`` and ``dropout`` added.
    """

    def __init__(self, d_model: int, d_ff: int, n_heads: int, dropout: float, activation: str, attention: dict):
        super().__init__()
        self.attn = MODELS.build({"d_model": d_model, "n_heads": n_heads, "dropout": dropout} | dict(attention))
        self.ffn = FeedForward(d_model, d_ff, dropout, activation)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, keep: int | None = None, need_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return the first ``keep`` transformed ``tokens`` (B, keep, C), and the attention map (B, h, N, N) or None."""
        mixed, weights = self.attn(tokens, need_map)
        tokens = self.norm1(tokens[:, :keep] + self.dropout(mixed[:, :keep]))
        return self.norm2(tokens + self.ffn(tokens)), weights


class InvertedEncoder(nn.Module):
    """A stack of layers with one more norm at its end.

    Args:
        d_model: width of a token.
        d_ff: width inside the feed-forward part.
        n_heads: number of attention heads.
        e_layers: number of layers.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        attention: registry config of the attention.
        with_cp: keep only the layers' inputs in training and compute the rest again in the backward pass.
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
        with_cp: bool = False,
    ):
        super().__init__()
        if e_layers < 1:
            raise ValueError(f"e_layers={e_layers}: the encoder needs at least one layer")
        self.with_cp = with_cp
        self.layers = nn.ModuleList(
            InvertedEncoderLayer(d_model, d_ff, n_heads, dropout, activation, attention) for _ in range(e_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Tensor, keep: int | None = None, need_maps: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Encode ``tokens`` (B, N, C).

        Args:
            tokens: the tokens of the variates, then those of the covariates.
            keep: how many of the first tokens to return; None for all. The others take part in the mixing only.
            need_maps: whether to return the attention maps.

        Returns:
            The first ``keep`` encoded tokens (B, keep, C), and one attention map (B, h, N, N) per layer or nothing.
        """
        maps = []
        for layer in self.layers:
            # Nothing reads the last layer's covariate tokens any more.
            kept = keep if layer is self.layers[-1] else None
            if self.with_cp and torch.is_grad_enabled():
                tokens, weights = checkpoint(layer, tokens, kept, need_maps, use_reentrant=False)
            else:
                tokens, weights = layer(tokens, kept, need_maps)
            if need_maps:
                maps.append(weights)
        return self.norm(tokens), maps
