"""The detector as a function of images alone, for ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mm_vidt.models.neck_free import ViDTNeckFree
from mm_vidt.models.vidt import ViDT, project


class RawPrediction(nn.Module):
    """Logits and boxes of the last level for images of one size without padding, which ``torch.onnx.export`` takes.

    Of a detector with masks it gives the boxes. The exported file takes any number of images, with ``dynamic_axes``, of
    the one height and width that it was exported with: sizes of maps and windows are constants in it.
    Call ``eval()`` on this module rather than on the detector: the exporter gives its mode back to all its parts.

    Args:
        model: one of this package's detectors.
    """

    def __init__(self, model: ViDT | ViDTNeckFree) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            images: normalised as by the detector's ``data_preprocessor``, ``(B, 3, H, W)``.

        Returns:
            Logits ``(B, N, classes)``, with the background as the last class of a neck-free detector, and boxes
            (cx, cy, w, h) in parts of the image, ``(B, N, 4)``.
        """
        padding = torch.zeros_like(images[:, 0], dtype=torch.bool)
        head = self.model.bbox_head
        with _UnflattenByReshape():
            if isinstance(self.model, ViDTNeckFree):
                found = head(project(self.model.input_proj, self.model.backbone(images, padding).det))
                return found.logits[-1], found.boxes[-1]
            tokens = self.model.forward_tokens(images, padding)
            return head.cls_branches[-1](tokens.hidden[-1]), tokens.boxes[-1]


class _UnflattenByReshape(TorchFunctionMode):
    """Computes ``unflatten`` as ``reshape``: the exporter holds all sizes of the former's result for constant.

    A file would then be for as many images as it was exported with.
    """

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not Tensor.unflatten:
            return func(*args, **(kwargs or {}))
        x, axis, sizes = args
        axis %= x.dim()
        return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])
