"""Flip, random crop and the map to the network's input in one step, as JihyeokKim/MonoDINO-DETR @ 65004cc does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from PIL import Image


@TRANSFORMS.register_module()
class KittiFlipCropAffine(BaseTransform):
    """Flip a picture, choose a window of it, and map the window to the network's input with Pillow.

    The window is scaled by one factor for both axes, so that its width fills the input, and centre goes to centre. A
    picture of another aspect ratio so loses rows at top and bottom or gets black ones: at 1242 x 375 and 1280 x 384,
    1.24 of 386.5 rows are lost on each side. Labels stay as they are; what is written tells
    :class:`mm_monodino_detr.datasets.pack_mono3d.PackMono3DInputs` where they go.

    The draws come from numpy's global state, in this order: flip, crop, scale, shift in x, shift in y. As officially,
    the flip is drawn where a crop may follow, even if its probability is 0. Two probabilities of 0 draw nothing.

    Args:
        size: width and height of the network's input in pixels.
        flip_prob: probability of flipping from left to right.
        crop_prob: probability of a random window instead of the whole picture.
        scale: standard deviation of the window's size relative to the picture's, and how far from 1 it may be.
        shift: standard deviation of the window's centre relative to the picture's size; at most twice that.

    Reads ``img`` ``(H, W, 3)`` uint8. Writes ``img``, ``img_shape``, ``flip``, ``crop_scale`` and ``affine``
    ``(2, 3)``, the map from pixels of the picture, after the flip, to those of the input.

    Raises:
        ValueError: a probability is not in [0, 1], or the size is not positive.
    """

    def __init__(
        self,
        size: tuple[int, int] = (1280, 384),
        flip_prob: float = 0.5,
        crop_prob: float = 0.5,
        scale: float = 0.05,
        shift: float = 0.05,
    ) -> None:
        for name, value in (("flip_prob", flip_prob), ("crop_prob", crop_prob)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is not in [0, 1]")
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size={size} is not a width and a height in pixels")
        self.size = tuple(size)
        self.flip_prob = flip_prob
        self.crop_prob = crop_prob
        self.scale = scale
        self.shift = shift

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Flip, crop and resize."""
        image = results["img"]
        height, width = image.shape[:2]
        flip = (self.flip_prob > 0 or self.crop_prob > 0) and _happens(self.flip_prob)
        if flip:
            image = np.ascontiguousarray(image[:, ::-1])
        centre, crop_scale = np.array([width, height]) / 2, 1.0
        if self.crop_prob > 0 and _happens(self.crop_prob):
            crop_scale = float(np.clip(_normal() * self.scale + 1, 1 - self.scale, 1 + self.scale))
            for axis, side in enumerate((width, height)):
                centre[axis] += side * np.clip(_normal() * self.shift, -2 * self.shift, 2 * self.shift)
        window = _corner_points(centre, width * crop_scale)
        target = _corner_points(np.array(self.size) / 2, self.size[0])
        # Pillow asks where each pixel of the result comes from
        back = tuple(affine_map(target, window).ravel().tolist())
        drawn = Image.fromarray(image).transform(
            self.size, Image.Transform.AFFINE, data=back, resample=Image.Resampling.BILINEAR
        )
        results["img"] = np.asarray(drawn)
        results["img_shape"] = self.size[::-1]
        results["flip"] = flip
        results["crop_scale"] = crop_scale
        results["affine"] = affine_map(window, target)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}, flip_prob={self.flip_prob}, crop_prob={self.crop_prob}, "
            f"scale={self.scale}, shift={self.shift})"
        )


def affine_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the map ``(2, 3)`` float64 that takes three points ``(3, 2)`` to three others, all rounded to float32.

    OpenCV solves for it as the official code does: with another solver its last bits differ, and with them the grey
    level of pixels that lie just between two.
    """
    return cv2.getAffineTransform(np.float32(source), np.float32(target))


def mapped(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points ``(..., 2)`` after an affine map ``(2, 3)``."""
    return points @ affine[:, :2].T + affine[:, 2]


def _corner_points(centre: np.ndarray, width: float) -> np.ndarray:
    """Return a centre, and the points half a width above it and above left, rounded to float32 as officially."""
    half = width * 0.5
    first, second = np.float32(centre), np.float32([centre[0], centre[1] - half])
    down = first[1] - second[1]
    return np.stack([first, second, np.float32([second[0] - down, second[1]])])


def _happens(probability: float) -> bool:
    return bool(np.random.random() < probability)  # noqa: NPY002


def _normal() -> float:
    return float(np.random.randn())  # noqa: NPY002
