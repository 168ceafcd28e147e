"""The colour augmentation of JihyeokKim/MonoDINO-DETR @ 65004cc, drawn in its order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

_PERMUTATIONS = tuple(permutations(range(3)))


@TRANSFORMS.register_module()
class KittiPhotometricDistort(BaseTransform):
    """Change brightness, contrast, saturation and hue, and permute the channels, each with probability one half.

    Not mmdet's ``PhotoMetricDistortion``, in three ways that change pixels. Red is where OpenCV's conversion to HSV
    expects blue, which mirrors the hues. The gates are drawn from numpy's global state in another order. Values above
    255 and below 0 are not clipped: they wrap around, so that a bright sky gets dark spots.

    Args:
        brightness_delta: largest change of brightness, in grey levels of [0, 255].
        contrast_range: factors of the contrast.
        saturation_range: factors of the saturation.
        hue_delta: largest turn of the hue in degrees.
        wrap_uint8: wrap around as the official code does; otherwise clip to [0, 255].

    Reads and writes ``img`` ``(H, W, 3)``, uint8 BGR as mmdet loads it.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
        wrap_uint8: bool = True,
    ) -> None:
        self.brightness_delta = brightness_delta
        self.contrast_range = tuple(contrast_range)
        self.saturation_range = tuple(saturation_range)
        self.hue_delta = hue_delta
        self.wrap_uint8 = wrap_uint8

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Distort the picture."""
        image = results["img"][..., ::-1].astype(np.float32, order="C")  # RGB, as it is in the official code
        if _gate():
            image += np.float32(_uniform(-self.brightness_delta, self.brightness_delta))
        contrast_first = _gate()
        if contrast_first:
            self._contrast(image)
        image = self._hue_and_saturation(image)
        if not contrast_first:
            self._contrast(image)
        if _gate():
            image = image[..., _PERMUTATIONS[_below(len(_PERMUTATIONS))]]
        # through integers: what a negative float32 becomes as uint8 is the compiler's choice
        whole = image.astype(np.int64) if self.wrap_uint8 else image.clip(0, 255)
        results["img"] = np.ascontiguousarray(whole.astype(np.uint8)[..., ::-1])
        return results

    def _contrast(self, image: np.ndarray) -> None:
        if _gate():
            image *= np.float32(_uniform(*self.contrast_range))

    def _hue_and_saturation(self, image: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)  # of RGB: see the class
        if _gate():
            hsv[..., 1] *= np.float32(_uniform(*self.saturation_range))
        if _gate():
            hue = hsv[..., 0]
            hue += np.float32(_uniform(-self.hue_delta, self.hue_delta))
            hue[hue > 360] -= 360
            hue[hue < 0] += 360
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness_delta={self.brightness_delta}, contrast_range={self.contrast_range}, "
            f"saturation_range={self.saturation_range}, hue_delta={self.hue_delta}, wrap_uint8={self.wrap_uint8})"
        )


# numpy's global state is the one that mmengine seeds in each worker, and the one of the official draws


def _gate() -> bool:
    return bool(_below(2))


def _below(count: int) -> int:
    return int(np.random.randint(count))  # noqa: NPY002


def _uniform(low: float, high: float) -> float:
    return np.random.uniform(low, high)  # noqa: NPY002
