"""Transformer, Informer, Flowformer and Flashformer as the paper compares them: an encoder-decoder over time tokens.

Papers: Transformer (arXiv 1706.03762), Informer (arXiv 2012.07436), Flowformer (arXiv 2202.06258), FlashAttention
(arXiv 2205.14135); compared in iTransformer (arXiv 2310.06625), table 2. Official code: thuml/iTransformer @ c2426e6,
model/{Transformer,Informer,Flowformer,Flashformer}.py (MIT). Changed here: they are one class, since each differs from
the first in an argument.
"""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_itransformer.models.attention_settings import JOINT_ATTENTIONS, attention_settings
from mm_itransformer.models.temporal.attention import decoder_attention
from mm_itransformer.models.temporal.encoder import TemporalEncoder
from mmrepro.forecasting.forecaster import TemporalForecaster
from mmrepro.forecasting.temporal_decoder import TemporalDecoder
from mmrepro.forecasting.time_tokens import TemporalEmbedding


@MODELS.register_module()
class TemporalTransformer(TemporalForecaster):
    """Forecast ``pred_len`` steps of a fixed number of series from their last ``seq_len`` steps.

    A token is a time step with all its variates. The decoder reads the last ``label_len`` known steps and zeros in
    place of the steps to forecast, and fills these in one pass.

    Args:
        seq_len: length of the window that is read.
        pred_len: number of steps to forecast.
        label_len: number of the window's last steps that begin the decoder's input.
        enc_in: number of variates that are read; 1 with ``channel_independence``.
        c_out: number of variates that come out; None for ``enc_in``.
        d_model: width of a token.
        n_heads: number of attention heads.
        e_layers: number of encoder layers.
        d_layers: number of decoder layers.
        d_ff: width inside the feed-forward parts; None or 0 for four times ``d_model``.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        attention: registry config of the attention: ``FullAttention`` (Transformer), ``ProbSparseAttention``
            (Informer), ``FlowAttention`` (Flowformer) or ``FlashAttention`` (Flashformer). As in the official code, the
            last two are the encoder's alone: beside them the decoder has full attention.
        distil: halve the sequence between the encoder's layers (Informer).
        n_marks: number of time features of a step; 0 for none.
        embed: ``timeF`` for a linear layer on float time features, ``fixed`` or ``learned`` for tables of integer ones
            (the data sets' ``time_features='calendar'``).
        freq: frequency that decides which tables there are; ``timeF`` does not read it.
        features: ``M`` for all series in and out, ``S`` for the target alone, ``MS`` for all in and only the last out.
        channel_independence: forecast each variate by itself with the same weights; their number is free then.
        marks_pairing: what variates get for time features with ``channel_independence``: ``fixed`` for their own
            window's, ``reference`` for those of another window of the batch in training, as in the official code. In
            evaluation they always get their own: the official code tests with one window per batch, where it does too.
            It validates with several, so a validation loss here differs from its own.
        with_cp: trade time for memory in training: compute each layer again in the backward pass.
        data_preprocessor: as in every mmengine model.
        init_cfg: as in every mmengine model; without it the layers start as PyTorch draws them, like the official code.

    Raises:
        ValueError: the attention is of another type; and see :class:`TemporalForecaster`.

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
        d_layers: int = 1,
        d_ff: int | None = None,
        dropout: float = 0.1,
        activation: str = "gelu",
        attention: dict | None = None,
        distil: bool = False,
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
        attention = attention_settings(attention or {"type": "FullAttention"})
        if attention["type"] not in JOINT_ATTENTIONS:
            raise ValueError(f"attention type={attention['type']!r} is not one of {', '.join(JOINT_ATTENTIONS)}")
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
            # Heads, activation, attention and lengths do not show in the weights.
            settings={
                "label_len": label_len,
                "d_model": d_model,
                "d_ff": d_ff,
                "e_layers": e_layers,
                "d_layers": d_layers,
                "n_heads": n_heads,
                "activation": activation,
                "attention": attention,
                "distil": bool(distil),
                "embed": embed,
                "freq": freq,
            },
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        time = {"n_marks": n_marks, "embed": embed, "freq": freq}
        self.embedding = TemporalEmbedding(enc_in, d_model, seq_len, dropout, **time)
        self.backbone = TemporalEncoder(
            d_model, d_ff, n_heads, e_layers, dropout, activation, attention, distil, with_cp
        )
        self.decoder_embedding = TemporalEmbedding(enc_in, d_model, label_len + pred_len, dropout, **time)
        self.decoder = TemporalDecoder(
            d_model, d_ff, n_heads, d_layers, dropout, activation, decoder_attention(attention), with_cp
        )
        self.head = nn.Linear(d_model, c_out)

    def decode(
        self, inputs: Tensor, marks: Tensor | None, placeholder: Tensor, placeholder_marks: Tensor | None
    ) -> Tensor:
        """Return the forecast (B, S, V); see :meth:`TemporalForecaster.decode`."""
        memory = self.backbone(self.embedding(inputs, marks))
        tokens = self.decoder(self.decoder_embedding(placeholder, placeholder_marks), memory)
        return self.head(tokens[:, -self.pred_len :])
