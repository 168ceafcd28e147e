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

_MOST_PIXELS = 10**8


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

    Raises:
        ValueError: a picture is so long and thin that it would get hundreds of millions of pixels.
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
        if size[0] * size[1] > _MOST_PIXELS:
            raise ValueError(
                f"{results.get('img_path', 'a picture')} of {width} x {height} pixels would get {size[1]} x {size[0]}: "
                "it is too long and thin. Fix: cut it into pieces, or leave it out with known_bad_images"
            )
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
    """Return the height and width after resizing, truncated, but at least 1; see :class:`TorchResize`."""
    if not single_precision:
        ratio = shortest / min(height, width)
        if longest is not None:
            ratio = min(ratio, longest / max(height, width))
        return max(1, int(height * ratio)), max(1, int(width * ratio))
    single, one = np.float32, np.float32(1)
    # torch divides a number by a tensor as reciprocal times number, which rounds twice.
    ratio = one / single(min(height, width)) * single(shortest)
    if longest is not None:
        ratio = min(ratio, one / single(max(height, width)) * single(longest))
    return max(1, int(single(height) * ratio)), max(1, int(single(width) * ratio))


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture of shape (H, W, C), or (H, W), bilinearly with antialiasing.

    Computed in float32; whole numbers are rounded back, halves to even. Not torch's own path for uint8: its fixed-point
    weights change one value in five by one grey level. One channel at a time, which halves the time and needs a third
    of the memory; cv2 is still many times faster, and less exact.
    """
    if image.shape[:2] == size:
        return image
    pixels = np.atleast_3d(image)
    resized = np.empty((*size, pixels.shape[2]), image.dtype)
    whole = np.iinfo(image.dtype) if np.issubdtype(image.dtype, np.integer) else None
    for channel in range(pixels.shape[2]):
        plane = torch.from_numpy(pixels[..., channel].astype(np.float32))[None, None]
        plane = functional.interpolate(plane, size, mode="bilinear", antialias=True, align_corners=False)[0, 0]
        resized[..., channel] = plane if whole is None else plane.round_().clamp_(whole.min, whole.max)
    return resized.reshape(*size, *image.shape[2:])
