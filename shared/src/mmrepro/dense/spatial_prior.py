"""The convolutional branch: maps at strides 4, 8, 16 and 32 of the image, in the trunk's width.

Source: spatial prior module of ViT-Adapter (arXiv 2205.08534, section 3.2), which ViT-CoMer takes over. Official code:
Traffic-X/ViT-CoMer @ b57f386, comer_modules.py ``CNN`` (Apache-2.0), whose parameter names are kept.
"""

from __future__ import annotations

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmrepro.ops.pointwise import PointwiseConv2d


class SpatialPrior(nn.Module):
    """Strided 3x3 convolutions, and a 1x1 convolution to the trunk's width for each stride.

    Args:
        embed_dim: width C of the results.
        inplanes: channels p at stride 4; there are 2p at stride 8 and 4p further on.
        norm_cfg: of the convolutions.
        finest: whether there is a map at stride 4.
    """

    def __init__(self, embed_dim: int, inplanes: int = 64, norm_cfg: dict | None = None, finest: bool = True):
        super().__init__()
        norm_cfg = norm_cfg or {"type": "SyncBN"}
        self.stem = nn.Sequential(
            *_convolution(3, inplanes, 2, norm_cfg),
            *_convolution(inplanes, inplanes, 1, norm_cfg),
            *_convolution(inplanes, inplanes, 1, norm_cfg),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.conv2 = nn.Sequential(*_convolution(inplanes, 2 * inplanes, 2, norm_cfg))
        self.conv3 = nn.Sequential(*_convolution(2 * inplanes, 4 * inplanes, 2, norm_cfg))
        self.conv4 = nn.Sequential(*_convolution(4 * inplanes, 4 * inplanes, 2, norm_cfg))
        self.fc1 = PointwiseConv2d(inplanes, embed_dim) if finest else None
        self.fc2 = PointwiseConv2d(2 * inplanes, embed_dim)
        self.fc3 = PointwiseConv2d(4 * inplanes, embed_dim)
        self.fc4 = PointwiseConv2d(4 * inplanes, embed_dim)

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Return maps (B, C, h/s, w/s) of images (B, 3, h, w) for the strides s = 4, 8, 16, 32; None if not made."""
        at_4 = self.stem(images.contiguous(memory_format=torch.channels_last))
        at_8 = self.conv2(at_4)
        at_16 = self.conv3(at_8)
        at_32 = self.conv4(at_16)
        c1 = None if self.fc1 is None else self.fc1(at_4)
        return c1, self.fc2(at_8), self.fc3(at_16), self.fc4(at_32)


def _convolution(inputs: int, outputs: int, stride: int, norm_cfg: dict) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the layers one by one: mmcv's ConvModule would name them otherwise than official checkpoints do."""
    return (
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        build_norm_layer(norm_cfg, outputs)[1],
        nn.ReLU(inplace=True),
    )
