"""iTransformer: an encoder-only transformer whose tokens are variates instead of time steps.

Paper: "iTransformer: Inverted Transformers Are Effective for Time Series Forecasting" (ICLR 2024, arXiv 2310.06625).
Official code: thuml/iTransformer @ c2426e6, model/iTransformer.py (MIT). Changed here: explicit arguments instead of a
bag of flags; the window norm is out of place, so that gradients reach the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.attention_settings import attention_settings, gives_map
from mm_itransformer.models.encoder import InvertedEncoder
from mm_itransformer.models.tokens import ForecastHead, InvertedEmbedding
from mm_itransformer.models.window_norm import normalise_windows


@MODELS.register_module()
class ITransformer(BaseModel):
    """Forecast ``pred_len`` steps of many series at once from their last ``seq_len`` steps.

    The number of series is free: no weight depends on it, and it may differ between training and inference.

    Args:
        seq_len: length of the window that is read.
        pred_len: number of steps to forecast.
        d_model: width of a token.
        n_heads: number of attention heads.
        e_layers: number of encoder layers.
        d_ff: width inside the feed-forward part; None or 0 for four times ``d_model``.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        use_norm: normalise each window by its own mean and deviation, and undo it on the forecast.
        attention: registry config of the attention between tokens: ``FullAttention`` by default,
            ``ProbSparseAttention`` for iInformer, ``LSHAttention`` for iReformer, ``FlowAttention`` for iFlowformer,
            ``FlashAttention`` for iFlashformer. The official code of the four always has ``use_norm``.
        features: ``M`` for all series in and out, ``S`` for the target alone, ``MS`` for all in and only the last out.
        with_cp: trade time for memory in training: compute each layer again in the backward pass.
        data_preprocessor: as in every mmengine model.
        init_cfg: as in every mmengine model; without it the layers start as PyTorch draws them, like the official code.

    Attributes:
        settings: the arguments that a checkpoint must agree with.
        has_maps: whether the attention says which token attends to which, so that maps can be asked for.
    """

    def __init__(
        self,
        seq_len: int = 96,
        pred_len: int = 96,
        d_model: int = 512,
        n_heads: int = 8,
        e_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
        activation: str = "gelu",
        use_norm: bool = True,
        attention: dict | None = None,
        features: str = "M",
        with_cp: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        if features not in ("M", "S", "MS"):
            raise ValueError(f"features={features!r} is not one of 'M', 'S', 'MS'")
        d_ff = d_ff or 4 * d_model
        attention = dict(attention or {"type": "FullAttention"})
        self.seq_len = seq_len
        self.pred_len = pred_len
        self.use_norm = use_norm
        self.features = features
        self.has_maps = gives_map(attention)
        # What a checkpoint must agree with; only the sizes show in the weights, and of the attention not all.
        self.settings = {
            "seq_len": seq_len,
            "pred_len": pred_len,
            "d_model": d_model,
            "d_ff": d_ff,
            "e_layers": e_layers,
            "n_heads": n_heads,
            "use_norm": bool(use_norm),
            "activation": activation,
            "features": features,
            "attention": attention_settings(attention),
        }
        self.embedding = InvertedEmbedding(seq_len, d_model, dropout)
        self.backbone = InvertedEncoder(d_model, d_ff, n_heads, e_layers, dropout, activation, attention, with_cp)
        self.head = ForecastHead(d_model, pred_len)

    def forward(
        self,
        inputs: Tensor,
        marks: Tensor | None = None,
        targets: Tensor | None = None,
        mode: str = "tensor",
        with_attention: bool = False,
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Do what ``mode`` says with a batch of scaled windows.

        Args:
            inputs: the windows (B, T, V).
            marks: time features or other covariates of the same steps (B, T, M), each of which becomes a token.
            targets: what followed (B, S, V), or (B, S, 1) with ``features='MS'``. Needed by ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.
            with_attention: let ``predict`` return the attention maps too.

        Returns:
            ``tensor``: the forecast (B, S, V). ``loss``: a dict with ``loss_mse``. ``predict``: see :meth:`predict`.

        Raises:
            ValueError: shapes do not fit, targets are missing, or maps are asked of an attention that has none.
        """
        if inputs.ndim != 3 or inputs.shape[1] != self.seq_len:
            raise ValueError(
                f"the model reads windows of seq_len={self.seq_len} steps, inputs have shape {tuple(inputs.shape)} "
                "(batch, steps, variates): give model and data set the same seq_len"
            )
        if targets is not None and targets.shape[1] != self.pred_len:
            raise ValueError(
                f"the model forecasts pred_len={self.pred_len} steps, targets have {targets.shape[1]}: "
                "give model and data set the same pred_len"
            )
        if mode == "tensor":
            return self._forward(inputs, marks)[0]
        if mode == "loss":
            return self.loss(inputs, marks, targets)
        if mode == "predict":
            return self.predict(inputs, marks, targets, with_attention)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(self, inputs: Tensor, marks: Tensor | None, targets: Tensor | None) -> dict[str, Tensor]:
        """Return the mean squared error over windows, steps and variates, in scaled units.

        Raises:
            ValueError: there are no targets, or they have another number of variates than the forecast.
        """
        if targets is None:
            raise ValueError("the loss compares with targets, but the batch has none: give the data set's targets")
        forecast, _ = self._forward(inputs, marks)
        if forecast.shape != targets.shape:  # mse_loss would only warn, and broadcast
            raise ValueError(
                f"the model (features={self.features!r}) forecasts {tuple(forecast.shape)} (batch, steps, variates), "
                f"targets have shape {tuple(targets.shape)}: give model and data set the same features"
            )
        return {"loss_mse": F.mse_loss(forecast.to(targets.dtype), targets)}

    def predict(
        self, inputs: Tensor, marks: Tensor | None = None, targets: Tensor | None = None, with_attention: bool = False
    ) -> list[dict[str, Tensor]]:
        """Return one dict per window.

        Its keys: ``forecast`` (S, V); ``last`` (V,), the last observed values, which the trivial forecast repeats;
        ``target`` (S, V) where targets are given; ``attention`` (e_layers, h, V+M, V+M) where asked for.
        """
        forecast, maps = self._forward(inputs, marks, need_maps=with_attention)
        fields = {"forecast": forecast, "last": self._outputs_of(inputs)[:, -1]}
        if targets is not None:
            fields["target"] = targets
        if with_attention:
            fields["attention"] = torch.stack(list(maps), dim=1)
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]

    def _forward(
        self, inputs: Tensor, marks: Tensor | None = None, need_maps: bool = False
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the forecast (B, S, V) and the attention maps (B, h, V+M, V+M), one per layer, or none."""
        if need_maps and not self.has_maps:
            raise ValueError(
                f"{self.settings['attention']['type']} does not say which token attends to which, so there are no "
                "attention maps. Fix: set with_attention=False"
            )
        if self.use_norm:
            inputs, mean, deviation = normalise_windows(inputs)
        tokens = self.embedding(inputs, marks)
        tokens, maps = self.backbone(tokens, keep=inputs.shape[2], need_maps=need_maps)
        forecast = self.head(tokens)
        if self.use_norm:
            forecast = forecast * deviation + mean
        return self._outputs_of(forecast), maps

    def _outputs_of(self, series: Tensor) -> Tensor:
        """Return the variates of ``series`` (B, T, V) that the model is asked to forecast."""
        return series[..., -1:] if self.features == "MS" else series
