"""The detector as a function of images alone, for ONNX."""

from __future__ import annotations

from mmdet.structures import DetDataSample
from torch import Tensor, nn


class RawPrediction(nn.Module):
    """Logits and boxes of the last layer for images of one size without padding, which ``torch.onnx.export`` takes.

    Call ``eval()`` on this module rather than on the detector: the exporter gives its mode back to all its parts.

    Args:
        model: one of this package's detectors.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            images: normalised as by the detector's ``data_preprocessor``, ``(B, 3, H, W)``.

        Returns:
            Logits ``(B, N, classes)`` and boxes (cx, cy, w, h) in parts of the image, ``(B, N, 4)``.
        """
        size = tuple(images.shape[-2:])
        samples = [DetDataSample(metainfo={"img_shape": size, "batch_input_shape": size}) for _ in images]
        logits, boxes = self.model(images, samples, mode="tensor")
        return logits[-1], boxes[-1]
