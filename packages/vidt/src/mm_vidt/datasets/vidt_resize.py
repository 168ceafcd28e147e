"""Resizing as ViDT's official code does (naver-ai/vidt @ a8c48b5): by Pillow, to sides that are multiples of 16."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks
from torch.nn import functional as F

MULTIPLE = 16
_MOST_PIXELS = 10**8


@TRANSFORMS.register_module()
class ViDTResize(Resize):
    """Resize a picture so that its shorter side has a length, unless the longer side would exceed a limit.

    Then both sides are cut down to multiples of 16, so that the aspect ratio changes a little. Not mmdet's ``Resize``
    in the sizes, and because cv2's bilinear interpolation skips pixels where a picture shrinks; Pillow's does not.
    Boxes are scaled by the ratio of each axis and not clipped; a mask's pixel is that of the nearest index below.
    mmcv's ``RandomChoiceResize`` takes it as ``resize_type``.

    Args:
        scale: ``(longest, shortest)`` in either order, as in mmcv; one number for the shorter side without a limit.

    Raises:
        ValueError: a picture is so long and thin that it would get hundreds of millions of pixels; masks are polygons.
    """

    def __init__(self, scale: int | tuple[int, int]) -> None:
        super().__init__(scale=scale, keep_ratio=False, clip_object_border=False, backend="pillow")
        self.scale = scale  # one number is no square here

    def _resize_img(self, results: dict[str, Any]) -> None:
        image = results["img"]
        height, width = image.shape[:2]
        longest, shortest = (None, self.scale) if isinstance(self.scale, int) else (max(self.scale), min(self.scale))
        size = resized_size(height, width, shortest, longest)
        if size[0] * size[1] > _MOST_PIXELS:
            raise ValueError(
                f"{results.get('img_path', 'a picture')} of {width} x {height} pixels would get {size[1]} x {size[0]}: "
                "it is too long and thin. Fix: cut it into pieces, or leave it out with known_bad_images"
            )
        results["img"] = mmcv.imresize(image, size[::-1], interpolation="bilinear", backend="pillow")
        results["img_shape"] = size
        results["scale"] = size[::-1]
        results["scale_factor"] = (size[1] / width, size[0] / height)
        results["keep_ratio"] = False

    def _resize_masks(self, results: dict[str, Any]) -> None:
        """Resize as torch does, which the official code calls: cv2's nearest pixel is now and then another."""
        masks, size = results.get("gt_masks"), results["img_shape"]
        if masks is None:
            return
        if not isinstance(masks, BitmapMasks):
            raise ValueError(
                f"{results.get('img_path', 'a picture')}: ViDTResize takes masks as bitmaps, these are "
                f"{type(masks).__name__}. Fix: LoadAnnotations(with_mask=True, poly2mask=True)"
            )
        resized = masks.masks
        if len(masks):
            resized = F.interpolate(torch.from_numpy(np.ascontiguousarray(resized))[None], size)[0].numpy()
        results["gt_masks"] = BitmapMasks(resized, *size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale})"


def resized_size(height: int, width: int, shortest: int, longest: int | None = None) -> tuple[int, int]:
    """Return the height and width after resizing, each at least 16; see :class:`ViDTResize`.

    Officially a side below 16 becomes none, and the run ends.
    """
    short, long = min(height, width), max(height, width)
    if longest is not None and long / short * shortest > longest:
        shortest = round(longest * short / long)
    if short != shortest:
        height, width = (
            (int(shortest * height / width), shortest) if width < height else (shortest, int(shortest * width / height))
        )
    return max(MULTIPLE, height // MULTIPLE * MULTIPLE), max(MULTIPLE, width // MULTIPLE * MULTIPLE)
