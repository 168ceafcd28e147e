"""The time-series forecaster: tokens of the known steps through the shared encoder, a decoder for the next ones."""

from __future__ import annotations

from typing import Any

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.series import Inputs, SeriesTokenizer
from mm_meta_transformer.tokenizers.tokens import Tokens
from mmrepro.forecasting.forecaster import TemporalForecaster
from mmrepro.forecasting.temporal_decoder import TemporalDecoder


@MODELS.register_module()
class MetaTransformerForecaster(TemporalForecaster):
    """Forecast ``pred_len`` steps of a fixed number of series from their last ``seq_len`` steps.

    A token is a step with all its variates. The decoder reads the last ``label_len`` known steps and zeros in place of
    the steps to forecast, looks at the encoded tokens, and fills the zeros in one pass. Official code:
    invictus717/MetaTransformer @ b08a2be, Time-Series/models/MetaTransformer.py. With a frozen encoder the two
    tokenizers, the decoder and the last layer are trained: 7.9 million parameters for 7 variates, of which the official
    log counts those of the first tokenizer alone, 19 thousand.

    Args:
        seq_len: length of the window that is read.
        pred_len: number of steps to forecast.
        label_len: number of the window's last steps that begin the decoder's input.
        enc_in: number of variates that are read.
        dec_in: number of variates that the decoder reads; None for ``enc_in``. In training and prediction it reads the
            window's, so another number is for :meth:`decode` alone, as in the official code.
        encoder: config of a :class:`.MetaTransformerEncoder`, or one that several models share.
        c_out: number of variates that come out; None for ``enc_in``.
        n_heads: number of heads of the decoder.
        d_layers: number of layers of the decoder.
        d_ff: width inside the decoder's feed-forward part.
        dropout: of the tokens and in the decoder.
        activation: of the decoder, ``gelu`` or ``relu``.
        n_marks: number of time features of a step; 0 for none.
        embed, freq: how they are read, see :class:`.SeriesTokenizer`.
        features: ``M`` for all series in and out, ``S`` for the target alone, ``MS`` for all in and only the last out.
        with_cp: compute each layer of the decoder again in the backward pass, which saves memory; the encoder has a
            setting of its own.
        data_preprocessor, init_cfg: as in every mmengine model.

    Raises:
        ValueError: an option has no meaning, or two do not go together.

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
        encoder: dict[str, Any] | nn.Module,
        dec_in: int | None = None,
        c_out: int | None = None,
        n_heads: int = 8,
        d_layers: int = 1,
        d_ff: int = 2048,
        dropout: float = 0.1,
        activation: str = "gelu",
        n_marks: int = 4,
        embed: str = "timeF",
        freq: str = "h",
        features: str = "M",
        with_cp: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        c_out = enc_in if c_out is None else c_out
        super().__init__(
            seq_len,
            pred_len,
            label_len,
            enc_in,
            c_out,
            n_marks,
            features,
            channel_independence=False,
            marks_pairing="fixed",
            settings={"label_len": label_len, "n_heads": n_heads, "activation": activation, "embed": embed},
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.encoder = encoder if isinstance(encoder, nn.Module) else MODELS.build(encoder)
        dims = self.encoder.embed_dims
        if dims % n_heads:
            raise ValueError(f"n_heads={n_heads} do not divide the encoder's {dims} channels. Fix: set another n_heads")
        time = {"n_marks": n_marks, "embed": embed, "freq": freq}
        self.tokenizer = SeriesTokenizer(enc_in, dims, seq_len, dropout, **time)
        self.decoder_tokenizer = SeriesTokenizer(dec_in or enc_in, dims, label_len + pred_len, dropout, **time)
        self.decoder = TemporalDecoder(dims, d_ff, n_heads, d_layers, dropout, activation, with_cp=with_cp)
        self.head = nn.Linear(dims, c_out)

    def extract_tokens(self, inputs: Inputs) -> Tokens:
        """Return what the shared encoder reads: ``(B, T, C)``, for windows as :class:`.SeriesTokenizer` takes them."""
        return self.tokenizer(inputs)

    def encode(self, tokens: Tokens) -> Tensor:
        """Return encoded tokens ``(B, T, C)``, what the decoder looks at."""
        return self.encoder(tokens.tokens, tokens.padding)

    def decode(
        self, inputs: Tensor, marks: Tensor | None, placeholder: Tensor, placeholder_marks: Tensor | None
    ) -> Tensor:
        """Return the forecast ``(B, S, V)``; see :meth:`.TemporalForecaster.decode`."""
        memory = self.encode(self.extract_tokens({"series": inputs, "marks": marks}))
        asked = self.decoder_tokenizer({"series": placeholder, "marks": placeholder_marks}).tokens
        return self.head(self.decoder(asked, memory)[:, -self.pred_len :])
