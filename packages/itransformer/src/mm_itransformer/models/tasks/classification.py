"""Classification: to which class a window of several series belongs.

Official code: thuml/Time-Series-Library @ 4e938a1, models/iTransformer.py (``classification``) and
exp/exp_classification.py. Windows are not normalised, time features and the padding mask are not read.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_itransformer.models.tasks.base import InvertedTask


class ClassificationHead(nn.Module):
    """Read the classes' logits off all tokens together.

    Args:
        d_model: width of a token.
        n_variates: number of tokens.
        num_class: number of classes.
        dropout: probability that an element is dropped in training.
    """

    def __init__(self, d_model: int, n_variates: int, num_class: int, dropout: float = 0.1):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(d_model * n_variates, num_class)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn ``tokens`` (B, V, C) into logits (B, num_class)."""
        return self.proj(self.dropout(F.gelu(tokens)).flatten(1))  # (B, V, C) -> (B, V*C)


@MODELS.register_module()
class ITransformerClassifier(InvertedTask):
    """Choose one of ``num_class`` classes for each window of ``n_variates`` series.

    Args:
        n_variates: number of series; fixed, since the head reads all tokens at once.
        num_class: number of classes.
        **encoder: arguments of :class:`~mm_itransformer.models.tasks.base.InvertedTask`.
    """

    task = "classification"

    def __init__(self, n_variates: int, num_class: int, **encoder):
        super().__init__(**encoder)
        self.n_variates = n_variates
        self.num_class = num_class
        self.settings |= {"n_variates": n_variates, "num_class": num_class}
        dropout = self.embedding.dropout.p
        self.head = ClassificationHead(self.settings["d_model"], n_variates, num_class, dropout)

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Do what ``mode`` says with a batch of windows.

        Args:
            inputs: the windows (B, T, V).
            labels: their classes (B,), counted from 0. Needed by ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            ``tensor``: the logits (B, num_class). ``loss``: a dict with ``loss_ce``. ``predict``: see :meth:`predict`.
        """
        self._check_windows(inputs)
        if inputs.shape[2] != self.n_variates:
            raise ValueError(
                f"the model reads n_variates={self.n_variates} series, inputs have shape {tuple(inputs.shape)} "
                f"(batch, steps, variates): set model.n_variates={inputs.shape[2]}"
            )
        if mode == "tensor":
            return self._logits(inputs)
        if mode == "loss":
            return self.loss(inputs, labels)
        if mode == "predict":
            return self.predict(inputs, labels)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(self, inputs: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Return the cross entropy, the mean over windows.

        Raises:
            ValueError: there are no labels.
        """
        if labels is None:
            raise ValueError("the loss compares with labels, but the batch has none: give the data set labels")
        return {"loss_ce": F.cross_entropy(self._logits(inputs).float(), labels)}

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list[dict[str, Tensor]]:
        """Return one dict per window.

        Its keys: ``logits`` and ``scores`` (num_class,), the scores adding up to 1; ``pred`` (), the class;
        ``label`` () where labels are given.
        """
        logits = self._logits(inputs).float()
        fields = {"logits": logits, "scores": logits.softmax(-1), "pred": logits.argmax(-1)}
        if labels is not None:
            fields["label"] = labels
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]

    def _logits(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(self.embedding(inputs))[0])
