"""PSNR and SSIM as super-resolution papers report them.

HAT (arXiv 2205.04437, section 4.1) reports both on the Y channel after cropping ``scale`` pixels off each side.
Official code: XPixelGroup/BasicSR @ 8d56e3a, metrics/psnr_ssim.py, utils/color_util.py, utils/img_util.py. Ours takes
RGB tensors on any device and filters by rows and columns, which gives the same numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

PEAK = 255.0
WINDOW, SIGMA = 11, 1.5  # of the Gaussian that SSIM weighs a neighbourhood with
STABILITY = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)  # C1 and C2 of SSIM
# ITU-R BT.601 in the studio range 16..235: Y of 8-bit R, G and B is their weighted sum over 255, plus 16
LUMA_RGB, LUMA_BLACK = (65.481, 128.553, 24.966), 16.0


def to_uint8(image: Tensor) -> Tensor:
    """Return an image in [0, 1] as 8-bit levels: clamped, times 255, rounded half to even.

    Raises:
        ValueError: the image has values that are not finite.
    """
    if not torch.isfinite(image).all():
        raise ValueError("the image has values that are not finite: it cannot be measured or written")
    return (image.float().clamp(0, 1) * PEAK).round().to(torch.uint8)


def luma(image: Tensor) -> Tensor:
    """Return the Y channel of an 8-bit RGB image, (..., 3, H, W) -> (..., 1, H, W) float32 in 16..235, not rounded."""
    weights = torch.tensor(LUMA_RGB, dtype=torch.float64, device=image.device)
    scaled = (image.float() / PEAK).double()
    y = torch.einsum("...chw,c->...hw", scaled, weights) + LUMA_BLACK
    return ((y / PEAK).float() * PEAK).unsqueeze(-3)


def psnr(restored: Tensor, truth: Tensor, crop_border: int = 0, convert_to: Literal["Y"] | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, over all values of one image; infinite for equal images.

    Args:
        restored: 8-bit levels (C, H, W), RGB or one channel; :func:`to_uint8` makes them.
        truth: the same of the ground truth.
        crop_border: pixels that do not count on each side; the papers take the scale.
        convert_to: ``"Y"`` measures the luma of RGB images; None their channels. One channel is measured as it is.

    Raises:
        ValueError: the shapes differ, nothing is left inside the border, or an argument is not known.
    """
    restored, truth = prepare(restored, truth, crop_border, convert_to)
    error = ((restored - truth) ** 2).mean()
    return (10 * torch.log10(PEAK**2 / error)).item()


def ssim(restored: Tensor, truth: Tensor, crop_border: int = 0, convert_to: Literal["Y"] | None = None) -> float:
    """Return the structural similarity, the mean over all places where the whole window fits, and over the channels.

    Wang et al. 2004 (doi 10.1109/TIP.2003.819861), equation 13: a Gaussian window of 11 x 11 with deviation 1.5.

    Args:
        restored, truth, crop_border, convert_to: as of :func:`psnr`.

    Raises:
        ValueError: as of :func:`psnr`, or less than 11 pixels are left in a direction.
    """
    restored, truth = prepare(restored, truth, crop_border, convert_to)
    if min(restored.shape[-2:]) < WINDOW:
        height, width = restored.shape[-2:]
        raise ValueError(
            f"SSIM needs {WINDOW} x {WINDOW} pixels; {height} x {width} are left of the image inside a border of "
            f"{crop_border}"
        )
    stacked = torch.stack([restored, truth, restored**2, truth**2, restored * truth])
    mean_r, mean_t, square_r, square_t, product = blur(stacked)
    variances = square_r - mean_r**2 + square_t - mean_t**2
    covariance = product - mean_r * mean_t
    c1, c2 = STABILITY
    similar = (2 * mean_r * mean_t + c1) * (2 * covariance + c2)
    return (similar / ((mean_r**2 + mean_t**2 + c1) * (variances + c2))).mean().item()


def prepare(restored: Tensor, truth: Tensor, crop_border: int, convert_to: str | None) -> tuple[Tensor, Tensor]:
    """Return both images cropped, converted and in float64: (C, H, W) 8-bit levels twice -> (c, h, w) twice.

    Raises:
        ValueError: as of :func:`psnr`.
    """
    if convert_to not in ("Y", None):
        raise ValueError(f"convert_to={convert_to!r} is not known: 'Y' for the luma, None for the channels as they are")
    if restored.shape != truth.shape or truth.dim() != 3:
        raise ValueError(
            f"the restored image has the shape {tuple(restored.shape)}, the ground truth {tuple(truth.shape)}: "
            "both must be (C, H, W)"
        )
    for name, image in (("restored", restored), ("ground truth's", truth)):
        if image.dtype != torch.uint8:
            raise ValueError(f"the {name} values are {image.dtype}: the measures are of 8-bit levels, see to_uint8")
    if crop_border < 0 or min(truth.shape[-2:]) <= 2 * crop_border:
        raise ValueError(f"crop_border={crop_border} leaves nothing of an image of {_size(truth)} pixels")
    end = -crop_border or None
    pair = [image[:, crop_border:end, crop_border:end] for image in (restored, truth)]
    if convert_to == "Y" and truth.shape[0] == 3:
        pair = [luma(image) for image in pair]
    return pair[0].double(), pair[1].double()


def blur(images: Tensor) -> Tensor:
    """Return Gaussian-weighted means, only where the window fits: (..., H, W) -> (..., H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=images.dtype) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    taps = (weights / weights.sum()).tolist()
    for axis in (-2, -1):  # sums of shifted copies: on the CPU four times faster than a float64 convolution
        length = images.shape[axis] - WINDOW + 1
        total = images.narrow(axis, 0, length) * taps[0]
        for start, tap in enumerate(taps[1:], 1):
            total.add_(images.narrow(axis, start, length), alpha=tap)
        images = total
    return images


def _size(image: Tensor) -> str:
    return " x ".join(str(side) for side in image.shape[-2:])
