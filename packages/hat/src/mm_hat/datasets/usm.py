"""Unsharp masking of the ground truth (section 3.5 of Real-ESRGAN), and blurring with one kernel per sample.

Source: ``USMSharp`` and ``filter2D`` of XPixelGroup/BasicSR @ 8d56e3a. Changed here: the Gaussian of the mask is two
one-dimensional filters, 102 instead of 2601 products per pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def blur(images: Tensor, kernel: Tensor) -> Tensor:
    """Correlate images (B, C, H, W) with a kernel (k, k), or with one for each sample (B, k, k); borders are mirrored.

    Raises:
        ValueError: the kernel's side is even, there is not one per sample, or an image is smaller than half of it.
    """
    b, c, h, w = images.shape
    side = kernel.shape[-1]
    if side % 2 == 0 or kernel.shape[-2] != side:
        raise ValueError(f"a kernel must be square with an odd side, not {tuple(kernel.shape[-2:])}")
    if min(h, w) <= side // 2:
        raise ValueError(f"images of {h}x{w} pixels are too small for a kernel of side {side}")
    if kernel.dim() == 2:
        kernel = kernel.expand(b, side, side)
    if len(kernel) != b:
        raise ValueError(f"{len(kernel)} kernels for {b} images")
    margin = side // 2
    padded = F.pad(images, (margin,) * 4, mode="reflect")
    # Every plane of every sample is a group: (B, C, H, W) -> (1, B*C, H, W)
    kernels = kernel.to(images).repeat_interleave(c, 0)[:, None]
    return F.conv2d(padded.reshape(1, b * c, *padded.shape[-2:]), kernels, groups=b * c).view(b, c, h, w)


class USMSharp(nn.Module):
    """Sharpen images (B, C, H, W) in [0, 1] where they differ from their blurred selves, softly bounded.

    Args:
        size: side of the Gaussian; its deviation follows OpenCV's rule, 8 pixels for 51.
        weight: how much of the difference is added.
        threshold: differences up to this many of 255 levels are left alone.
    """

    def __init__(self, size: int = 51, weight: float = 0.5, threshold: float = 10) -> None:
        super().__init__()
        self.size = size + 1 - size % 2
        self.weight, self.threshold = weight, threshold
        sigma = 0.3 * ((self.size - 1) * 0.5 - 1) + 0.8
        offsets = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        taps = torch.exp(-(offsets**2) / (2 * sigma**2))
        self.register_buffer("taps", (taps / taps.sum()).float(), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the sharpened images, same shape."""
        residual = images - self._gaussian(images)
        mask = (residual.abs() * 255 > self.threshold).to(images.dtype)
        soft_mask = self._gaussian(mask)
        sharp = (images + self.weight * residual).clamp(0, 1)
        return soft_mask * sharp + (1 - soft_mask) * images

    def _gaussian(self, images: Tensor) -> Tensor:
        b, c, h, w = images.shape
        margin = self.size // 2
        if min(h, w) <= margin:
            raise ValueError(f"images of {h}x{w} pixels are too small to be sharpened with a Gaussian of {self.size}")
        taps = self.taps.to(images).expand(b * c, 1, 1, -1)
        # (B, C, H, W) -> (1, B*C, H, W); filters for each plane are several times faster on CPUs than planes as a batch
        planes = F.pad(images.reshape(1, b * c, h, w), (margin,) * 4, mode="reflect")
        planes = F.conv2d(planes, taps, groups=b * c)
        return F.conv2d(planes, taps.transpose(2, 3), groups=b * c).view(b, c, h, w)
