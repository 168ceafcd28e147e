"""Between series and tokens: one token holds the whole window of one variate.

Paper: iTransformer (arXiv 2310.06625), section 3.1. Official code: thuml/iTransformer @ c2426e6, layers/Embed.py
(``DataEmbedding_inverted``) and the projector of model/iTransformer.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrepro.ops.cpu_layers import Dropout, Linear


class InvertedEmbedding(nn.Module):
    """Embed each series as one token; covariates such as time features become tokens of their own, by the same weights.

    Args:
        seq_len: length of the window.
        d_model: width of a token.
        dropout: probability that an element is dropped in training.
    """

    def __init__(self, seq_len: int, d_model: int, dropout: float = 0.1):
        super().__init__()
        self.proj = Linear(seq_len, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, inputs: Tensor, marks: Tensor | None = None) -> Tensor:
        """Turn ``inputs`` (B, T, V) and ``marks`` (B, T, M) into tokens (B, V+M, C).

        Raises:
            ValueError: the marks are not of the same windows.
        """
        series = inputs.transpose(1, 2)
        if marks is not None:
            if marks.ndim != 3 or marks.shape[:2] != inputs.shape[:2]:
                raise ValueError(
                    f"marks have shape {tuple(marks.shape)} (batch, steps, covariates), inputs have "
                    f"{tuple(inputs.shape)} (batch, steps, variates): give marks of the same windows and steps"
                )
            series = torch.cat([series, marks.to(inputs.dtype).transpose(1, 2)], dim=1)
        return self.dropout(self.proj(series))


class ForecastHead(nn.Module):
    """Read a token's forecast off it.

    Args:
        d_model: width of a token.
        pred_len: number of steps to forecast.
    """

    def __init__(self, d_model: int, pred_len: int):
        super().__init__()
        self.proj = Linear(d_model, pred_len)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn ``tokens`` (B, V, C) into series (B, S, V)."""
        return self.proj(tokens).transpose(1, 2)
