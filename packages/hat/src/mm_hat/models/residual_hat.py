"""A HAT that learns what bicubic interpolation lacks: our own extension, for short trainings of small nets.

The paper's network has no skip around itself, starts from noise and takes hundreds of thousands of steps. With the
enlarged input added and the last convolution zero at first, the net starts at the bicubic baseline.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from mm_hat.datasets.imresize import imresize
from mm_hat.models.hat import HAT


@MODELS.register_module()
class ResidualHAT(HAT):
    """:class:`HAT` whose output is added to the bicubically enlarged input.

    Args:
        kwargs: as in :class:`HAT`.

    Raises:
        ValueError: as in :class:`HAT`, or ``upsampler=None``, with which HAT adds its input itself.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.upsampler is None:
            raise ValueError("ResidualHAT with upsampler=None would add the image twice. Fix: type='HAT'")
        nn.init.zeros_(self.conv_last.weight)
        nn.init.zeros_(self.conv_last.bias)

    def base(self, images: Tensor) -> Tensor:
        """Return the bicubically enlarged images, (B, in_chans, s*H, s*W)."""
        return imresize(images, self.upscale)
