"""Anomaly detection: steps that a model of normal behaviour reconstructs badly.

Official code: thuml/Time-Series-Library @ 4e938a1, models/iTransformer.py (``anomaly_detection``) and
exp/exp_anomaly_detection.py. Time features are not read.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.tasks.base import WindowReconstructor


@MODELS.register_module()
class ITransformerAnomalyDetector(WindowReconstructor):
    """Reconstruct each window; the error of a step is its anomaly score.

    Arguments as in :class:`~mm_itransformer.models.tasks.base.InvertedTask`.
    """

    task = "anomaly_detection"

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Do what ``mode`` says with a batch of scaled windows.

        Args:
            inputs: the windows (B, T, V).
            labels: what is known of each step (B, T), see ``AnomalyMetric``; ``predict`` hands it on.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            ``tensor``: the reconstruction (B, T, V). ``loss``: a dict with ``loss_mse``, the mean squared error over
            windows, steps and variates. ``predict``: see :meth:`predict`.
        """
        self._check_windows(inputs)
        if mode == "tensor":
            return self._reconstruct(inputs)
        if mode == "loss":
            return self.loss(inputs)
        if mode == "predict":
            return self.predict(inputs, labels)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error over windows, steps and variates, in scaled units."""
        return {"loss_mse": F.mse_loss(self._reconstruct(inputs).to(inputs.dtype), inputs)}

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list[dict[str, Tensor]]:
        """Return one dict per window.

        Its keys: ``reconstruction`` (T, V); ``score`` (T,), the squared error's mean over variates; ``labels`` (T,)
        where they are given.
        """
        reconstruction = self._reconstruct(inputs).to(inputs.dtype)
        fields = {"reconstruction": reconstruction, "score": ((inputs - reconstruction) ** 2).mean(-1)}
        if labels is not None:
            fields["labels"] = labels
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
