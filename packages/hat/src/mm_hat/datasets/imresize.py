"""Bicubic resizing that equals MATLAB's ``imresize``: how every low-resolution image of the field was made.

Section 4.1 of HAT (arXiv 2205.04437) trains and tests on such images. Behaviour after BasicSR's
``basicsr/utils/matlab_functions.py`` (8d56e3a) and, for 8-bit images, after the stored benchmark images of SelfExSR,
which the "uint8" mode with a "replicate" border reproduces bit by bit. The reference loops over rows; here each axis is
one banded product, tap by tap.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

CUBIC = -0.5  # Keys' parameter, as MATLAB has it
SUPPORT = 4  # the kernel is not zero in (-2, 2)
_SLACK = 1e-9  # 49 * (1 / 49) must not become 1.0000000000000002 and so two pixels


def imresize(
    image: np.ndarray | torch.Tensor,
    scale: float,
    mode: Literal["float", "uint8"] = "float",
    border: Literal["symmetric", "replicate"] = "symmetric",
) -> np.ndarray | torch.Tensor:
    """Resize an image by a bicubic kernel, which is stretched by ``1 / scale`` when the image shrinks.

    The height goes first, then the width. Each side becomes ``ceil(side * scale)``.

    Args:
        image: an array (H, W) or (H, W, C), or a tensor (..., H, W). Floats in "float" mode, uint8 in "uint8" mode.
        scale: above 1 enlarges, below 1 shrinks.
        mode: "float" computes in the image's own precision and neither clips nor rounds. "uint8" rounds (half up) and
            clips after either axis, as MATLAB does with 8-bit images.
        border: what lies outside the image: its mirror, edge pixel included, or the edge pixel repeated.

    Returns:
        The same type and layout as ``image``; a new array even at scale 1.

    Raises:
        ValueError: the scale is not positive, an axis is empty, or a mode or border is not known.
        TypeError: the image's type does not belong to the mode.
    """
    _require(image, scale, mode, border)
    is_array = isinstance(image, np.ndarray)
    tensor = torch.from_numpy(np.require(image, requirements=("C", "W"))) if is_array else image
    axes = (0, 1) if is_array else (-2, -1)
    work = tensor.double() if mode == "uint8" else tensor
    for axis in axes:
        work = _resize_axis(work, axis % work.ndim, scale, border)
        if mode == "uint8":
            work = work.add_(0.5).floor_().clamp_(0, 255)
    work = work.to(tensor.dtype)
    return work.numpy() if is_array else work


def output_size(side: int, scale: float) -> int:
    """Return the length that ``imresize`` gives a side."""
    return math.ceil(side * scale - _SLACK)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel (1981), zero from a distance of 2 on."""
    x = np.abs(x)
    near = (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
    far = CUBIC * x**3 - 5 * CUBIC * x**2 + 8 * CUBIC * x - 4 * CUBIC
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=128)
def _taps(side: int, scale: float, border: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which input each output pixel reads, and how much of it.

    Returns:
        Indices (out, T), within the side, and weights (out, T) in float64 whose rows add up to 1.
    """
    shrink = min(scale, 1.0)
    width = SUPPORT / shrink
    # 0-based centres: pixel x covers [x - 0.5, x + 0.5) in the output, and that divided by the scale in the input
    centre = (np.arange(output_size(side, scale)) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.int64)
    places = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = shrink * cubic((centre[:, None] - places) * shrink)
    weights /= weights.sum(1, keepdims=True)
    used = np.abs(weights).max(0) > 1e-15  # the outermost taps are zero by construction
    return _inside(places[:, used], side, border), weights[:, used]


def _inside(places: np.ndarray, side: int, border: str) -> np.ndarray:
    """Fold positions outside an axis back into it."""
    if border == "replicate":
        return places.clip(0, side - 1)
    folded = places % (2 * side)  # the mirror image has twice the period, however short the side
    return np.where(folded < side, folded, 2 * side - 1 - folded)


def _resize_axis(tensor: torch.Tensor, axis: int, scale: float, border: str) -> torch.Tensor:
    indices, weights = _taps(tensor.shape[axis], float(scale), border)
    indices = torch.from_numpy(indices).to(tensor.device)
    weights = torch.from_numpy(weights).to(tensor)
    shape = [1] * tensor.ndim
    shape[axis] = -1
    out = None
    for tap in range(indices.shape[1]):
        part = tensor.index_select(axis, indices[:, tap])
        factor = weights[:, tap].reshape(shape)
        out = part.mul_(factor) if out is None else out.addcmul_(part, factor)
    return out


def _require(image: np.ndarray | torch.Tensor, scale: float, mode: str, border: str) -> None:
    if mode not in ("float", "uint8"):
        raise ValueError(f"mode {mode!r} is not known. Fix: 'float' or 'uint8'")
    if border not in ("symmetric", "replicate"):
        raise ValueError(f"border {border!r} is not known. Fix: 'symmetric' or 'replicate'")
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"the scale must be a positive number, not {scale}")
    if not isinstance(image, (np.ndarray, torch.Tensor)):
        raise TypeError(f"the image must be an array or a tensor, not {type(image).__name__}")
    if isinstance(image, np.ndarray) and image.ndim not in (2, 3):
        raise ValueError(f"an array must be (H, W) or (H, W, C), not {image.shape}")
    if isinstance(image, torch.Tensor) and image.ndim < 2:
        raise ValueError(f"a tensor must be (..., H, W), not {tuple(image.shape)}")
    if 0 in image.shape:
        raise ValueError(f"the image is empty: {tuple(image.shape)}")
    kind = str(image.dtype).removeprefix("torch.")
    if mode == "uint8" and kind != "uint8":
        raise TypeError(f"mode 'uint8' needs an image of type uint8, not {kind}")
    if mode == "float" and not kind.startswith(("float", "bfloat")):
        raise TypeError(f"mode 'float' needs an image of floats, not {kind}. Fix: image / 255, or mode='uint8'")
