"""The tokenizer of time series and of inertial sensors: one token per step, of all channels."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens
from mmrepro.forecasting.time_tokens import TemporalEmbedding

Inputs = Tensor | dict[str, Tensor | None]


@MODELS.register_module()
class SeriesTokenizer(BaseModule):
    """A step's values and those of its two neighbours, its position and, where there are marks, its time.

    The window is a circle to the convolution: its last step is a neighbour of its first one, as officially. Where
    windows of several lengths are padded to one, each is a circle of its own length.

    Args:
        n_variates: channels of the series: variates, or axes of the sensors.
        embed_dims: channels of a token.
        length: steps of the longest window.
        dropout: of the tokens.
        n_marks: time features of a step; 0 for a series without time.
        embed: how they are read: ``timeF``, a linear layer on float features; ``fixed`` or ``learned``, tables for
            integer ones (month, day, weekday, hour).
        freq: with ``t`` the tables have the quarter of the hour, too.
        class_token: put a trained token first.
        init_cfg: as in mmengine.

    Raises:
        ValueError: ``embed`` is unknown, or the marks are fewer than its tables.
    """

    def __init__(
        self,
        n_variates: int,
        embed_dims: int = 768,
        length: int = 5000,
        dropout: float = 0.1,
        n_marks: int = 0,
        embed: str = "timeF",
        freq: str = "h",
        class_token: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.n_variates, self.length, self.n_marks = n_variates, length, n_marks
        self.embedding = TemporalEmbedding(n_variates, embed_dims, length, dropout, n_marks, embed, freq)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, embed_dims)) if class_token else None

    def forward(self, inputs: Inputs) -> Tokens:
        """Return the tokens of windows.

        Args:
            inputs: ``(B, T, V)``, or a dict of it as ``series`` with ``marks`` ``(B, T, M)``, the time features, and
                ``padding`` ``(B, T)`` bool, true for the steps behind a shorter window; either may be missing or None.

        Returns:
            ``(B, T, C)`` tokens, with the class token before them.

        Raises:
            ValueError: the windows have another number of channels or of time features than the tokenizer, are longer
                than its ``length``, have no step, or none of a sample; or the marks are of other steps.
        """
        inputs = {"series": inputs} if isinstance(inputs, Tensor) else inputs
        series, marks, padding = inputs["series"], inputs.get("marks"), inputs.get("padding")
        self._check(series, marks, padding)
        lengths = None if padding is None else (~padding).sum(1)
        tokens, prefix = self.embedding(series, marks, lengths), 0
        if self.cls_token is not None:
            tokens, prefix = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1), 1
            padding = None if padding is None else torch.cat((padding.new_zeros(len(padding), 1), padding), 1)
        return Tokens(tokens, padding, {"prefix": prefix})

    def _check(self, series: Tensor, marks: Tensor | None, padding: Tensor | None) -> None:
        if series.dim() != 3 or series.shape[2] != self.n_variates or not 1 <= series.shape[1] <= self.length:
            raise ValueError(
                f"windows are {tuple(series.shape)}, the tokenizer reads (B, 1 to {self.length}, {self.n_variates}): "
                "steps, and channels of a step. Fix: n_variates and length of the tokenizer, or the data set's channels"
            )
        found = 0 if marks is None else marks.shape[2]
        if found != self.n_marks:
            raise ValueError(
                f"steps have {found} time features, the tokenizer reads {self.n_marks}. "
                "Fix: n_marks of the model, or the data set's time_features and freq"
            )
        if marks is not None and marks.shape[:2] != series.shape[:2]:
            raise ValueError(
                f"marks are {tuple(marks.shape)} for windows {tuple(series.shape)}. Fix: time features of every step"
            )
        if padding is not None and bool(padding[:, 0].any()):
            empty = padding[:, 0].nonzero().flatten().tolist()
            raise ValueError(f"samples {empty} of the batch have no step that is not padding: leave them out")
