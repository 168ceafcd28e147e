"""Reformer as the paper compares it: an encoder over the known time steps and the empty ones to forecast.

Papers: Reformer (arXiv 2001.04451); compared in iTransformer (arXiv 2310.06625), table 2. Official code:
thuml/iTransformer @ c2426e6, model/Reformer.py (MIT).
"""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_itransformer.models.attention_settings import attention_settings
from mm_itransformer.models.temporal.encoder import TemporalEncoder
from mmrepro.forecasting.forecaster import TemporalForecaster
from mmrepro.forecasting.time_tokens import TemporalEmbedding


@MODELS.register_module()
class TemporalReformer(TemporalForecaster):
    """Forecast ``pred_len`` steps of a fixed number of series from their last ``seq_len`` steps.

    A token is a time step with all its variates; the steps to forecast follow the known ones as zeros.

    Args:
        label_len: as in the official command; this model has no decoder, and nothing depends on it.
        attention: registry config of the attention: ``LSHAttention`` with its own arguments.
        seq_len, pred_len: these and all others are those of :class:`TemporalTransformer`.

    Raises:
        ValueError: the attention is of another type.

    Attributes:
        settings: the arguments that a checkpoint must agree with.
    """

    def __init__(
        self,
        seq_len: int = 96,
        pred_len: int = 96,
        label_len: int = 48,
        *,
        enc_in: int,
        c_out: int | None = None,
        d_model: int = 512,
        n_heads: int = 8,
        e_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
        activation: str = "gelu",
        attention: dict | None = None,
        n_marks: int = 4,
        embed: str = "timeF",
        freq: str = "h",
        features: str = "M",
        channel_independence: bool = False,
        marks_pairing: str = "reference",
        with_cp: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        c_out = enc_in if c_out is None else c_out
        d_ff = d_ff or 4 * d_model
        attention = attention_settings(attention or {"type": "LSHAttention"})
        if attention["type"] != "LSHAttention":
            raise ValueError(f"attention type={attention['type']!r} is not 'LSHAttention', which makes the Reformer")
        super().__init__(
            seq_len,
            pred_len,
            label_len,
            enc_in,
            c_out,
            n_marks,
            features,
            channel_independence,
            marks_pairing,
            settings={
                "d_model": d_model,
                "d_ff": d_ff,
                "e_layers": e_layers,
                "n_heads": n_heads,
                "activation": activation,
                "attention": attention,
                "embed": embed,
                "freq": freq,
            },
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.embedding = TemporalEmbedding(
            enc_in, d_model, seq_len + pred_len, dropout, n_marks=n_marks, embed=embed, freq=freq
        )
        self.backbone = TemporalEncoder(
            d_model, d_ff, n_heads, e_layers, dropout, activation, attention, with_cp=with_cp
        )
        self.head = nn.Linear(d_model, c_out)

    def decode(
        self, inputs: Tensor, marks: Tensor | None, placeholder: Tensor, placeholder_marks: Tensor | None
    ) -> Tensor:
        """Return the forecast (B, S, V); see :meth:`TemporalForecaster.decode`."""
        series = torch.cat([inputs, placeholder[:, -self.pred_len :]], dim=1)
        if marks is not None:
            marks = torch.cat([marks, placeholder_marks[:, -self.pred_len :]], dim=1)
        tokens = self.backbone(self.embedding(series, marks))
        return self.head(tokens[:, -self.pred_len :])
