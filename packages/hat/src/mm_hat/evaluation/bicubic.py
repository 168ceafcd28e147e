"""The trivial baseline that stands beside every measured value: bicubic interpolation of the low-resolution image.

Figures in the literature are 0.01 to 0.1 dB lower: they were made on the luma alone, rounded to 8 bits in between. Here
all three channels are enlarged in floating point and rounded once.
"""

from __future__ import annotations

import math

from torch import Tensor

from mm_hat.datasets.imresize import imresize
from mm_hat.evaluation.psnr_ssim import to_uint8


def upscale_bicubic(image: Tensor, scale: float) -> Tensor:
    """Return a low-resolution image enlarged as MATLAB does, in 8-bit levels: (C, h, w) in [0, 1] -> (C, H, W) uint8.

    At scale 1, which is denoising, the baseline is the input.
    """
    return to_uint8(imresize(image.float(), scale))


def scale_between(low: Tensor, high: Tensor) -> int:
    """Return how many times larger the sides of ``high`` (C, H, W) are than those of ``low`` (C, h, w).

    Raises:
        ValueError: it is no whole number, or not the same for both sides.
    """
    (h, w), (big_h, big_w) = low.shape[-2:], high.shape[-2:]
    scale = math.floor(big_h / h) if h else 0
    if scale < 1 or (h * scale, w * scale) != (big_h, big_w):
        raise ValueError(f"{big_h} x {big_w} pixels are not a whole multiple of {h} x {w}")
    return scale
