"""Bicubic interpolation as a network without parameters: the baseline's rows go the same way as the networks'.

MATLAB's kernel, as every table of the field has it (arXiv 2205.04437, table of quantitative results, row "Bicubic").
"""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_hat.datasets.imresize import imresize


@MODELS.register_module()
class BicubicUpscaler(nn.Module):
    """Enlarge by bicubic interpolation.

    Args:
        upscale: the factor.
    """

    window_size = 1

    def __init__(self, upscale: int) -> None:
        super().__init__()
        self.upscale = upscale

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H*s, W*s) for (B, C, H, W), neither clamped nor rounded."""
        return imresize(x, self.upscale)
