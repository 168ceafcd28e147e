"""Resizing as the official code does: sizes are truncated, and pixels are averaged where a picture shrinks.

Source: xiuqhou/Relation-DETR @ b485955, whose transforms are torchvision's. mmcv rounds the sizes, and its bilinear
interpolation (cv2) skips pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS
from torch.nn import functional


@TRANSFORMS.register_module()
class TorchResize(Resize):
    """Resize a picture so that its shorter side has a length, unless the longer side would exceed a limit.

    Not mmdet's ``Resize`` in the two points above; boxes and masks are its own work. mmcv's ``RandomChoiceResize``
    takes it as ``resize_type``.

    Args:
        scale: ``(longest, shortest)`` in either order, as in mmcv; one number for the shorter side without a limit.
        single_precision: compute the size in float32, as the official test does; its training computes in float64. Some
            sizes differ by one pixel.
        clip_object_border: clip boxes to the picture, so that rounding puts none outside.
    """

    def __init__(
        self, scale: int | tuple[int, int], single_precision: bool = False, clip_object_border: bool = True
    ) -> None:
        super().__init__(scale=scale, keep_ratio=False, clip_object_border=clip_object_border)
        self.scale = scale  # one number is no square here
        self.single_precision = single_precision

    def _resize_img(self, results: dict) -> None:
        image = results["img"]
        height, width = image.shape[:2]
        longest, shortest = (None, self.scale) if isinstance(self.scale, int) else (max(self.scale), min(self.scale))
        size = resized_size(height, width, shortest, longest, self.single_precision)
        results["img"] = resize_image(image, size)
        results["img_shape"] = size
        results["scale"] = (size[1], size[0])
        results["scale_factor"] = (size[1] / width, size[0] / height)
        results["keep_ratio"] = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale}, single_precision={self.single_precision})"


def resized_size(
    height: int, width: int, shortest: int, longest: int | None = None, single_precision: bool = False
) -> tuple[int, int]:
    """Return the height and width after resizing, truncated; see :class:`TorchResize`."""
    if not single_precision:
        ratio = shortest / min(height, width)
        if longest is not None:
            ratio = min(ratio, longest / max(height, width))
        return int(height * ratio), int(width * ratio)
    single, one = np.float32, np.float32(1)
    # torch divides a number by a tensor as reciprocal times number, which rounds twice.
    ratio = one / single(min(height, width)) * single(shortest)
    if longest is not None:
        ratio = min(ratio, one / single(max(height, width)) * single(longest))
    return int(single(height) * ratio), int(single(width) * ratio)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture of shape (H, W, C), or (H, W), bilinearly with antialiasing.

    Computed in float32; whole numbers are rounded back, halves to even. Not torch's own path for uint8: its fixed-point
    weights change one value in five by one grey level.
    """
    if image.shape[:2] == size:
        return image
    planes = torch.from_numpy(np.ascontiguousarray(image)).float()
    planes = planes[None, None] if image.ndim == 2 else planes.permute(2, 0, 1)[None].contiguous()
    resized = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)[0]
    if np.issubdtype(image.dtype, np.integer):
        limits = np.iinfo(image.dtype)
        resized = resized.round_().clamp_(limits.min, limits.max)
    resized = resized[0] if image.ndim == 2 else resized.permute(1, 2, 0)
    return np.ascontiguousarray(resized.numpy().astype(image.dtype))
