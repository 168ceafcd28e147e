"""Imputation: fill what is missing in windows of many series.

Official code: thuml/Time-Series-Library @ 4e938a1, models/iTransformer.py (``imputation``) and exp/exp_imputation.py.
As there, what is missing is read as 0 and counts in the window's mean and deviation; the mask itself is not read.
"""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.tasks.base import WindowReconstructor


@MODELS.register_module()
class ITransformerImputer(WindowReconstructor):
    """Fill the gaps of each window from what was observed of all its series.

    Arguments as in :class:`~mm_itransformer.models.tasks.base.InvertedTask`.
    """

    task = "imputation"

    def forward(
        self, inputs: Tensor, marks: Tensor | None = None, mask: Tensor | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Do what ``mode`` says with a batch of scaled windows.

        Args:
            inputs: the windows (B, T, V). What stands in missing entries is not read, but ``loss`` compares with it.
            marks: time features or other covariates of the same steps (B, T, M), each of which becomes a token.
            mask: (B, T, V), 1 or True where an entry is observed, 0 where it is to be filled. Without it NaN entries
                are to be filled. Needed by ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            ``tensor``: the model's series (B, T, V). ``loss``: a dict with ``loss_mse``. ``predict``: see
            :meth:`predict`.
        """
        self._check_windows(inputs)
        if mask is not None and mask.shape != inputs.shape:
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, inputs have {tuple(inputs.shape)} (batch, steps, variates): "
                "give one entry of the mask for each value"
            )
        if mode == "tensor":
            return self._impute(inputs, marks, mask)[0]
        if mode == "loss":
            return self.loss(inputs, marks, mask)
        if mode == "predict":
            return self.predict(inputs, marks, mask)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(self, inputs: Tensor, marks: Tensor | None, mask: Tensor | None) -> dict[str, Tensor]:
        """Return the mean squared error over the missing entries, in scaled units; 0 where none is missing.

        Raises:
            ValueError: there is no mask.
        """
        if mask is None:
            raise ValueError("the loss is over missing entries, but the batch has no mask: use ImputationWindows")
        imputed, observed = self._impute(inputs, marks, mask)
        squared = torch.where(observed, 0, imputed.to(inputs.dtype) - inputs) ** 2
        return {"loss_mse": squared.sum() / (~observed).sum().clamp(min=1)}

    def predict(
        self, inputs: Tensor, marks: Tensor | None = None, mask: Tensor | None = None
    ) -> list[dict[str, Tensor]]:
        """Return one dict per window.

        Its keys: ``imputed`` (T, V), the model's series; ``merged`` (T, V), the observed values and the model's where
        there are none; ``mask`` (T, V), True where observed; ``target`` (T, V), the inputs, where a mask is given.
        """
        imputed, observed = self._impute(inputs, marks, mask)
        fields = {"imputed": imputed, "merged": torch.where(observed, inputs, imputed.to(inputs.dtype))}
        fields["mask"] = observed
        if mask is not None:
            fields["target"] = inputs
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]

    def _impute(self, inputs: Tensor, marks: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the model's series (B, T, V), and where an entry was observed (B, T, V)."""
        observed = ~inputs.isnan() if mask is None else mask.bool()
        return self._reconstruct(torch.where(observed, inputs, 0), marks), observed
