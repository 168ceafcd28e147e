"""From features to a larger image: convolutions and pixel shuffles (arXiv 1609.05158).

Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0), whose parameter names are kept.
"""

from __future__ import annotations

from torch import nn


class Upsample(nn.Sequential):
    """Make maps larger: (B, C, H, W) to (B, C, sH, sW), one convolution and shuffle for each factor 2, or one for 3.

    Args:
        scale: 3 or a power of 2; 1 leaves the maps as they are.
        channels: width C.

    Raises:
        ValueError: any other scale.
    """

    def __init__(self, scale: int, channels: int):
        if scale == 3:
            steps = [3]
        elif isinstance(scale, int) and scale >= 1 and scale & (scale - 1) == 0:
            steps = [2] * (scale.bit_length() - 1)
        else:
            raise ValueError(f"upscale={scale} is not served: 3 and powers of 2 are")
        layers: list[nn.Module] = []
        for step in steps:
            layers += [nn.Conv2d(channels, step * step * channels, 3, padding=1), nn.PixelShuffle(step)]
        super().__init__(*layers)
