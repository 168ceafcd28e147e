"""What the tasks beside forecasting share: tokens of variates, the encoder over them, and series read off the tokens.

Official code: thuml/Time-Series-Library @ 4e938a1, models/iTransformer.py (MIT), where one class does every task.
"""

from __future__ import annotations

from mmengine.model import BaseModel
from torch import Tensor

from mm_itransformer.models.attention_settings import attention_settings
from mm_itransformer.models.encoder import InvertedEncoder
from mm_itransformer.models.tokens import ForecastHead, InvertedEmbedding
from mm_itransformer.models.window_norm import normalise_windows


class InvertedTask(BaseModel):
    """Embedding and encoder; a subclass adds the head of its task.

    Args:
        seq_len: length of the window that is read.
        d_model: width of a token.
        n_heads: number of attention heads.
        e_layers: number of encoder layers.
        d_ff: width inside the feed-forward part; None or 0 for four times ``d_model``.
        dropout: probability used everywhere.
        activation: ``gelu`` or ``relu``.
        attention: registry config of the attention between tokens.
        with_cp: trade time for memory in training: compute each layer again in the backward pass.
        data_preprocessor, init_cfg: as in every mmengine model.

    Attributes:
        task: the task's name in the Time-Series-Library.
        settings: the arguments that a checkpoint must agree with.
    """

    task: str

    def __init__(
        self,
        seq_len: int = 96,
        d_model: int = 128,
        n_heads: int = 8,
        e_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
        activation: str = "gelu",
        attention: dict | None = None,
        with_cp: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        d_ff = d_ff or 4 * d_model
        attention = dict(attention or {"type": "FullAttention"})
        self.seq_len = seq_len
        self.settings = {
            "task": self.task,
            "seq_len": seq_len,
            "d_model": d_model,
            "d_ff": d_ff,
            "e_layers": e_layers,
            "n_heads": n_heads,
            "activation": activation,
            "attention": attention_settings(attention),
        }
        self.embedding = InvertedEmbedding(seq_len, d_model, dropout)
        self.backbone = InvertedEncoder(d_model, d_ff, n_heads, e_layers, dropout, activation, attention, with_cp)

    def _check_windows(self, inputs: Tensor) -> None:
        if inputs.ndim != 3 or inputs.shape[1] != self.seq_len:
            raise ValueError(
                f"the model reads windows of seq_len={self.seq_len} steps, inputs have shape {tuple(inputs.shape)} "
                "(batch, steps, variates): give model and data set the same seq_len"
            )


class WindowReconstructor(InvertedTask):
    """Give back the window that was read: the number of series is free. Arguments as in :class:`InvertedTask`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = ForecastHead(self.settings["d_model"], self.seq_len)

    def _reconstruct(self, inputs: Tensor, marks: Tensor | None = None) -> Tensor:
        """Return what the model makes of ``inputs`` (B, T, V), given ``marks`` (B, T, M): (B, T, V)."""
        normalised, mean, deviation = normalise_windows(inputs)
        tokens, _ = self.backbone(self.embedding(normalised, marks), keep=inputs.shape[2])
        return self.head(tokens) * deviation + mean
