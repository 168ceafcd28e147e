"""Noisy and compressed inputs of the same size as the truth, for denoising and JPEG artefact removal.

Section 4 of arXiv 2309.05239 reports both tasks, but neither code nor settings were published: this is our own design,
with the literature's usual protocols (Gaussian noise of a fixed deviation, neither clipped nor rounded; a real JPEG
encoder at a fixed quality).
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import TRANSFORMS
from PIL import Image

from mm_hat.datasets.transforms import as_floats


@TRANSFORMS.register_module(name="SRAddGaussianNoise")
class AddGaussianNoise:
    """Make ``img``, float32 (H, W, C), of ``gt`` by adding normal noise; it may leave [0, 1].

    Args:
        sigma: deviation in levels of 255, or a range to draw it from.
        gray: the same noise in all colours, for grey pictures with three equal channels.
        seed: for testing: a picture gets always the same noise, drawn from this and its file's name; None: any noise.

    Raises:
        ValueError: a deviation is negative.
    """

    def __init__(self, sigma: float | Sequence[float], gray: bool = False, seed: int | None = None) -> None:
        self.low, self.high = _bounds(sigma)
        if self.low < 0:
            raise ValueError(f"sigma={sigma} must not be negative")
        self.gray, self.seed = gray, seed

    def __call__(self, results: dict) -> dict:
        """Return the sample with its ``img``."""
        truth = as_floats(results["gt"])
        if self.seed is None:
            stream = np.random.default_rng(random.getrandbits(64))
        else:
            name = Path(results.get("gt_path", "")).name
            stream = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        shape = (*truth.shape[:2], 1) if self.gray else truth.shape
        sigma = stream.uniform(self.low, self.high) / 255
        results["img"] = truth + np.float32(sigma) * stream.standard_normal(shape, np.float32)
        return results


@TRANSFORMS.register_module(name="SRCompressJPEG")
class CompressJPEG:
    """Make ``img``, uint8 (H, W, 3), of ``gt`` by writing and reading it as JPEG with Pillow's encoder.

    Args:
        quality: 1 to 95, or a range to draw it from, both ends included.
        gray: compress as a grey picture, without chroma.

    Raises:
        ValueError: a quality lies outside.
    """

    def __init__(self, quality: int | Sequence[int], gray: bool = False) -> None:
        self.low, self.high = _bounds(quality)
        if not 1 <= self.low <= self.high <= 95:
            raise ValueError(f"quality={quality} must lie between 1 and 95")
        self.gray = gray

    def __call__(self, results: dict) -> dict:
        """Return the sample with its ``img``."""
        truth = results["gt"]
        if truth.dtype != np.uint8:
            truth = (truth * 255).round().clip(0, 255).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(truth))
        stream = io.BytesIO()
        image = image.convert("L") if self.gray else image
        image.save(stream, format="JPEG", quality=random.randint(int(self.low), int(self.high)))
        results["img"] = np.asarray(Image.open(stream).convert("RGB"))
        return results


def _bounds(value: float | Sequence[float]) -> tuple[float, float]:
    low, high = value if isinstance(value, Sequence) else (value, value)
    if low > high:
        raise ValueError(f"{tuple(value)} is an empty range. Fix: put the lower bound first")
    return low, high
