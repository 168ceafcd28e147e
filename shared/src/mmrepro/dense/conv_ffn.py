"""The convolutional feed-forward part over the tokens of three levels.

Source: ViT-Adapter (arXiv 2205.08534), section 3.4; parameters have its official names. Tokens are channels-last maps
already, so the convolution reads and writes them by views, where the official code transposes and copies.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.dense.token_levels import TokenLevels, join
from mmrepro.ops.pointwise import PointwiseLinear


class DepthwiseConv(nn.Module):
    """One depthwise 3x3 convolution that all levels share, each on its own map.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Convolve: (B, N, C) to the same."""
        return join([self.dwconv(one) for one in levels.maps(tokens)])


class ConvFFN(nn.Module):
    """C to ``hidden``, depthwise convolution, GELU, and back.

    Args:
        embed_dim: width C.
        hidden: width between the layers.
    """

    def __init__(self, embed_dim: int, hidden: int):
        super().__init__()
        self.fc1 = PointwiseLinear(embed_dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = PointwiseLinear(hidden, embed_dim)

    def forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Apply the layers: (B, N, C) to the same."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(tokens), levels)))
