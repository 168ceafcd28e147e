"""Transforms of image pairs: loading, cutting, shrinking, flipping, packing.

Section 4.1 of HAT (arXiv 2205.04437); the random draws come from python's ``random`` in the order of BasicSR's
``basicsr/data/transforms.py`` (8d56e3a), so that a seed gives the official patches. The names are mmagic's with the
prefix ``SR``, because mmagic registers its own.

A sample is a dict: ``img`` is the low-resolution image, ``gt`` the truth, both (H, W, 3) RGB, as uint8 or, where
nothing was rounded, as float32 in [0, 1]; ``img_path`` and ``gt_path`` say where they come from.
"""

from __future__ import annotations

import random

import cv2
import numpy as np
import torch
from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement
from PIL import Image

from . import image_io, lmdb_images
from .imresize import imresize

BOTH = ("img", "gt")


class PairSizeError(ValueError):
    """The two images of a pair do not have the sizes that the scale asks for."""


def as_floats(image: np.ndarray) -> np.ndarray:
    """Return an image as float32 in [0, 1]; one that is so already comes back as it is."""
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def require_pair(results: dict, scale: int) -> None:
    """Check that the truth is ``scale`` times as large as the low-resolution image.

    Raises:
        PairSizeError: it is not; both files are named.
    """
    (low_h, low_w), (h, w) = results["img"].shape[:2], results["gt"].shape[:2]
    if (h, w) != (low_h * scale, low_w * scale):
        raise PairSizeError(
            f"{results.get('gt_path')} is {h}x{w} and {results.get('img_path')} is {low_h}x{low_w} (height x width), "
            f"which is not a pair at scale {scale}: the first should be {low_h * scale}x{low_w * scale}. "
            "Fix: check the scale, and that the folders hold the same images in the same order"
        )


@TRANSFORMS.register_module(name="SRLoadImageFromFile")
class LoadImageFromFile:
    """Read ``results[key + '_path']``, a file or ``<name>.lmdb/<key>``, as uint8 RGB into ``results[key]``.

    Args:
        key: "img" or "gt".

    Raises:
        FileNotFoundError, image_io.ImageReadError: it is not there, or cannot be read completely.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, results: dict) -> dict:
        """Add the image ``key``."""
        path = results[f"{self.key}_path"]
        inside = lmdb_images.split(path)
        results[self.key] = image_io.decode_rgb(lmdb_images.read(*inside), path) if inside else image_io.read_rgb(path)
        return results


@TRANSFORMS.register_module(name="SRModCrop")
class ModCrop:
    """Cut the truth at the bottom and the right to multiples of the scale.

    Args:
        scale: the scale.

    Raises:
        PairSizeError: nothing would be left.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, results: dict) -> dict:
        """Cut ``gt``."""
        h, w = results["gt"].shape[:2]
        if min(h, w) < self.scale:
            raise PairSizeError(f"{results.get('gt_path')} is {h}x{w}, smaller than one pixel at scale {self.scale}")
        results["gt"] = results["gt"][: h - h % self.scale, : w - w % self.scale]
        return results


@TRANSFORMS.register_module(name="SRCropLike")
class CropLike:
    """Cut the truth to ``scale`` times the low-resolution image, top left, as the official validation does.

    Args:
        scale: the scale.

    Raises:
        PairSizeError: the truth is smaller than that, or larger by a whole low-resolution pixel.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, results: dict) -> dict:
        """Cut ``gt``."""
        h, w = (self.scale * side for side in results["img"].shape[:2])
        truth = results["gt"]
        if h <= truth.shape[0] < h + self.scale and w <= truth.shape[1] < w + self.scale:
            results["gt"] = truth[:h, :w]
        require_pair(results, self.scale)
        return results


@TRANSFORMS.register_module(name="SRMATLABLikeResize")
class MATLABLikeResize:
    """Make the low-resolution image from the truth.

    Args:
        scale: how many times smaller it becomes.
        mode: "float" as the official ImageNet training: neither rounded nor clipped. "uint8" as the benchmarks' images.
        border: what lies outside the image, see :func:`imresize`.
    """

    def __init__(self, scale: int, mode: str = "float", border: str = "symmetric") -> None:
        self.scale, self.mode, self.border = scale, mode, border

    def __call__(self, results: dict) -> dict:
        """Add ``img``."""
        truth = as_floats(results["gt"]) if self.mode == "float" else results["gt"]
        results["img"] = imresize(truth, 1 / self.scale, self.mode, self.border)
        return results


@TRANSFORMS.register_module(name="SRStretchToPatch")
class StretchToPatch:
    """Stretch a side of the truth that is shorter than the patch to the patch's size, bilinearly; leave the other.

    Args:
        gt_patch_size: the patch's side in pixels of the truth.
    """

    def __init__(self, gt_patch_size: int) -> None:
        self.size = gt_patch_size

    def __call__(self, results: dict) -> dict:
        """Stretch ``gt``, which becomes float32, where it is too small."""
        h, w = results["gt"].shape[:2]
        if min(h, w) < self.size:
            results["gt"] = cv2.resize(as_floats(results["gt"]), (max(w, self.size), max(h, self.size)))
        return results


@TRANSFORMS.register_module(name="SRGrey")
class Grey:
    """Turn the truth into its luma, 8-bit as Pillow makes grey pictures; one that is grey stays as it is.

    Raises:
        TypeError: the truth is not uint8.
    """

    def __call__(self, results: dict) -> dict:
        """Change ``gt``, which keeps three channels, now equal ones."""
        truth = results["gt"]
        if truth.dtype != np.uint8:
            raise TypeError(f"{results.get('gt_path')} is {truth.dtype}, not uint8. Fix: SRGrey right after loading")
        luma = np.asarray(Image.fromarray(np.ascontiguousarray(truth)).convert("L"))
        results["gt"] = np.repeat(luma[..., None], 3, axis=-1)
        return results


@TRANSFORMS.register_module(name="SROneChannel")
class OneChannel:
    """Keep the first channel of both images, for networks with ``in_chans=1``; after ``SRGrey`` all are equal."""

    def __call__(self, results: dict) -> dict:
        """Cut ``img`` and ``gt`` to (H, W, 1)."""
        for key in BOTH:
            results[key] = results[key][..., :1]
        return results


@TRANSFORMS.register_module(name="SRPairedRandomCrop")
class PairedRandomCrop:
    """Cut the same random square from both images; its corner lies on a low-resolution pixel.

    Args:
        gt_patch_size: the square's side in pixels of the truth, a multiple of the scale.
        scale: the scale.

    Raises:
        ValueError: the patch is not a multiple of the scale.
        PairSizeError: the two sizes do not fit, or are smaller than the patch.
    """

    def __init__(self, gt_patch_size: int, scale: int) -> None:
        self.low_size, self.scale = _low_patch(gt_patch_size, scale), scale

    def __call__(self, results: dict) -> dict:
        """Cut ``img`` and ``gt``."""
        require_pair(results, self.scale)
        h, w = results["img"].shape[:2]
        top, left = _draw_corner(h, w, self.low_size, results.get("img_path") or results.get("gt_path"))
        results["img"] = _square(results["img"], top, left, self.low_size)
        results["gt"] = _square(results["gt"], *(self.scale * value for value in (top, left, self.low_size)))
        return results


@TRANSFORMS.register_module(name="SRRandomDownsampledCrop")
class RandomDownsampledCrop:
    """Give what ``SRMATLABLikeResize`` and then ``SRPairedRandomCrop`` give, but shrink little more than the patch.

    The kernel is local: the square plus a margin gives the same pixels, and of a large photograph little is needed.

    Args:
        gt_patch_size: the square's side in pixels of the truth, a multiple of the scale.
        scale: the scale.

    Raises:
        ValueError: the patch is not a multiple of the scale.
        PairSizeError: the truth is not a multiple of the scale, or smaller than the patch.
    """

    margin = 4  # low-resolution pixels; the kernel reaches 2 beyond a pixel's centre

    def __init__(self, gt_patch_size: int, scale: int) -> None:
        self.low_size, self.scale = _low_patch(gt_patch_size, scale), scale

    def __call__(self, results: dict) -> dict:
        """Cut ``gt`` and add ``img``."""
        truth, s, size = results["gt"], self.scale, self.low_size
        h, w = truth.shape[:2]
        if h % s or w % s:
            raise PairSizeError(f"{results.get('gt_path')} is {h}x{w}, no multiple of {s}. Fix: SRModCrop before this")
        top, left = _draw_corner(h // s, w // s, size, results.get("gt_path"))
        above, before = max(top - self.margin, 0), max(left - self.margin, 0)
        region = truth[above * s : (top + size + self.margin) * s, before * s : (left + size + self.margin) * s]
        low = imresize(as_floats(region), 1 / s)
        results["img"] = _square(low, top - above, left - before, size)
        results["gt"] = _square(truth, top * s, left * s, size * s)
        return results


@TRANSFORMS.register_module(name="SRFlip")
class Flip:
    """Mirror all images of a sample together, or none.

    Args:
        direction: "horizontal" (left and right change places) or "vertical".
        flip_ratio: the probability.
        keys: the images.

    Raises:
        ValueError: the direction is not known.
    """

    def __init__(self, direction: str = "horizontal", flip_ratio: float = 0.5, keys: tuple[str, ...] = BOTH) -> None:
        if direction not in ("horizontal", "vertical"):
            raise ValueError(f"direction {direction!r} is not known. Fix: 'horizontal' or 'vertical'")
        self.axis = 1 if direction == "horizontal" else 0
        self.flip_ratio, self.keys = flip_ratio, tuple(keys)

    def __call__(self, results: dict) -> dict:
        """Flip, or not."""
        if random.random() < self.flip_ratio:
            for key in self.keys:
                results[key] = np.flip(results[key], self.axis)
        return results


@TRANSFORMS.register_module(name="SRRandomTransposeHW")
class RandomTransposeHW:
    """Swap height and width of all images of a sample together, or of none.

    Args:
        transpose_ratio: the probability.
        keys: the images.
    """

    def __init__(self, transpose_ratio: float = 0.5, keys: tuple[str, ...] = BOTH) -> None:
        self.transpose_ratio, self.keys = transpose_ratio, tuple(keys)

    def __call__(self, results: dict) -> dict:
        """Transpose, or not."""
        if random.random() < self.transpose_ratio:
            for key in self.keys:
                results[key] = results[key].swapaxes(0, 1)
        return results


@TRANSFORMS.register_module(name="SRPackInputs")
class PackInputs:
    """Make the model's input of a sample.

    Returns ``inputs``, the low-resolution image (3, h, w), and ``data_samples``, whose ``gt_img`` is the truth
    (3, H, W) if there is one. uint8 stays uint8, for the preprocessor to divide by 255; floats are in [0, 1] already.

    Args:
        meta_keys: what else of the sample goes along as its meta information, where present.
    """

    def __init__(self, meta_keys: tuple[str, ...] = ("key", "img_path", "gt_path", "scale", "lr_source")) -> None:
        self.meta_keys = tuple(meta_keys)

    def __call__(self, results: dict) -> dict:
        """Return ``inputs`` and ``data_samples`` alone."""
        sample = BaseDataElement(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if "gt" in results:
            sample.gt_img = _tensor(results["gt"])
        return {"inputs": _tensor(results["img"]), "data_samples": sample}


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _low_patch(gt_patch_size: int, scale: int) -> int:
    if gt_patch_size < scale or gt_patch_size % scale:
        raise ValueError(f"gt_patch_size {gt_patch_size} is no multiple of the scale {scale}")
    return gt_patch_size // scale


def _draw_corner(h: int, w: int, size: int, path: str | None) -> tuple[int, int]:
    if min(h, w) < size:
        raise PairSizeError(
            f"{path} has {h}x{w} low-resolution pixels, fewer than the patch of {size}x{size}. "
            "Fix: a smaller gt_patch_size, or leave the image out"
        )
    return random.randint(0, h - size), random.randint(0, w - size)


def _square(image: np.ndarray, top: int, left: int, size: int) -> np.ndarray:
    return image[top : top + size, left : left + size]
