"""The convolutional branch: two convolutions and a gate for each channel.

Paper: arXiv 2309.05239, section 3.2, channel attention block (CAB); the gate is RCAN's (arXiv 1807.02758).
Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0), whose parameter names are kept.
"""

from __future__ import annotations

from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Scale each channel by a gate that is computed from the channels' means over the map.

    The means are over all that is seen at once, so a tile of an image gets other gates than the image.

    Args:
        channels: width C.
        squeeze_factor: C divided by this is the width inside the gate.
    """

    def __init__(self, channels: int, squeeze_factor: int = 16):
        super().__init__()
        squeezed = channels // squeeze_factor
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the scaled maps: (B, C, H, W) to the same."""
        return maps * self.attention(maps)


class CAB(nn.Module):
    """Convolution to C // ``compress_ratio`` channels, GELU, convolution back, channel attention: (B, C, H, W) to same.

    Args:
        channels: width C.
        compress_ratio: how much narrower the middle is.
        squeeze_factor: as in :class:`ChannelAttention`.

    Raises:
        ValueError: a ratio leaves no channel.
    """

    def __init__(self, channels: int, compress_ratio: int = 3, squeeze_factor: int = 30):
        super().__init__()
        if not (1 <= compress_ratio <= channels and 1 <= squeeze_factor <= channels):
            raise ValueError(
                f"compress_ratio={compress_ratio} and squeeze_factor={squeeze_factor} must be from 1 to the number "
                f"of channels, {channels}"
            )
        compressed = channels // compress_ratio
        self.cab = nn.Sequential(
            nn.Conv2d(channels, compressed, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(compressed, channels, 3, padding=1),
            ChannelAttention(channels, squeeze_factor),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the branch, not yet scaled by ``conv_scale``: (B, C, H, W) to the same."""
        return self.cab(maps)
