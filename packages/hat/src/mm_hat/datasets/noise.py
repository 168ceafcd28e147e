"""Gaussian and Poisson noise of the real-world degradation, for a batch on its device.

Source: section 3.1 of Real-ESRGAN (arXiv 2107.10833), ``random_add_*_noise_pt`` of XPixelGroup/BasicSR @ 8d56e3a; the
order of the draws is part of the recipe (parity case ``degradation_ops``). Changed here: distinct grey levels are
counted for the whole batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)  # torchvision's grey
LEVELS = 256


def add_random_gaussian_noise(images: Tensor, sigma_range: Sequence[float], gray_prob: float) -> Tensor:
    """Add normal noise with a deviation of its own to each of the images (B, C, H, W), and clip to [0, 1].

    Grey noise is one map for the whole batch, scaled by each deviation.

    Args:
        images: in [0, 1].
        sigma_range: deviations, in levels of 255.
        gray_prob: probability, for each image, of the same noise in all colours.
    """
    b, _, h, w = images.shape
    sigma, gray = _amount_and_gray(images, sigma_range, gray_prob)
    gray_map = torch.randn(h, w, dtype=images.dtype, device=images.device) if gray.any() else None
    noise = torch.randn_like(images, memory_format=torch.contiguous_format) * sigma / 255
    if gray_map is not None:
        noise = torch.where(gray, gray_map.expand(b, 1, h, w) * sigma / 255, noise)
    return (images + noise).clamp(0, 1)


def add_random_poisson_noise(images: Tensor, scale_range: Sequence[float], gray_prob: float) -> Tensor:
    """Add shot noise with a strength of its own to each of the images (B, 3, H, W), and clip to [0, 1].

    An image's photon count at white is the number of its distinct levels, rounded up to a power of two.

    Args:
        images: in [0, 1].
        scale_range: what the noise is multiplied by.
        gray_prob: probability, for each image, of the same noise in all colours.
    """
    scale, gray = _amount_and_gray(images, scale_range, gray_prob)
    gray_noise = None
    if gray.any():
        weights = images.new_tensor(LUMA)
        luma = (weights[0] * images[:, 0] + weights[1] * images[:, 1] + weights[2] * images[:, 2])[:, None]
        gray_noise = _shot_noise(luma)
    noise = _shot_noise(images)
    if gray_noise is not None:
        noise = torch.where(gray, gray_noise, noise)
    return (images + noise * scale).clamp(0, 1)


def _amount_and_gray(images: Tensor, bounds: Sequence[float], gray_prob: float) -> tuple[Tensor, Tensor]:
    """Draw how much noise each image gets, and whether it is grey: (B, 1, 1, 1) each."""
    shape, kind = (len(images), 1, 1, 1), dict(dtype=images.dtype, device=images.device)
    amount = torch.rand(shape, **kind) * (bounds[1] - bounds[0]) + bounds[0]
    return amount, torch.rand(shape, **kind) < gray_prob


def _shot_noise(images: Tensor) -> Tensor:
    """Return Poisson draws minus their rates, for the 8-bit version of images (B, C, H, W)."""
    levels = (images * 255).round().clamp(0, 255)
    seen = torch.zeros(len(images), LEVELS, device=images.device)
    seen.scatter_(1, levels.flatten(1).long(), 1)
    photons = 2 ** seen.sum(1).log2().ceil().to(images.dtype).view(-1, 1, 1, 1)
    expected = levels / 255
    return torch.poisson(expected * photons) / photons - expected
