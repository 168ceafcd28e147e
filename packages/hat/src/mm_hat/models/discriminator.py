"""The discriminator of Real-HAT-GAN: a U-Net with spectral norm (arXiv 1802.05957), as in Real-ESRGAN.

Paper: arXiv 2309.05239, section 4.8; the network is Real-ESRGAN's (arXiv 2107.10833, section 3.3). Official code:
XPixelGroup/HAT @ 1638a9a, hat/archs/discriminator_arch.py (Apache-2.0), whose parameter names are kept.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

SLOPE = 0.2  # of the leaky ReLU
HALVINGS = 3


@MODELS.register_module()
class UNetDiscriminatorWithSpectralNorm(BaseModule):
    """Say for each pixel how real it looks: (B, num_in_ch, H, W) to logits (B, 1, H, W).

    Args:
        num_in_ch: channels of images.
        num_feat: width after the first convolution.
        skip_connection: add the features of the way down on the way up.
        init_cfg: as in every mmengine model.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 64, skip_connection: bool = True, init_cfg: dict | None = None
    ):
        super().__init__(init_cfg)

        def down(width: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))

        def same(width: int, out: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(width, out, 3, 1, 1, bias=False))

        # The older spectral_norm of torch, because checkpoints hold its weight_orig, weight_u and weight_v.
        self.skip_connection = skip_connection
        self.conv0 = nn.Conv2d(num_in_ch, num_feat, 3, 1, 1)
        self.conv1 = down(num_feat)
        self.conv2 = down(2 * num_feat)
        self.conv3 = down(4 * num_feat)
        self.conv4 = same(8 * num_feat, 4 * num_feat)
        self.conv5 = same(4 * num_feat, 2 * num_feat)
        self.conv6 = same(2 * num_feat, num_feat)
        self.conv7 = same(num_feat, num_feat)
        self.conv8 = same(num_feat, num_feat)
        self.conv9 = nn.Conv2d(num_feat, 1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            images: (B, num_in_ch, H, W); H and W are multiples of 8.

        Raises:
            ValueError: other sizes, whose maps would not fit on the way up.
        """
        if any(side == 0 or side % 2**HALVINGS for side in images.shape[2:]):
            raise ValueError(f"images of {images.shape[2]}x{images.shape[3]} (H x W) are no multiples of {2**HALVINGS}")
        down = [F.leaky_relu(self.conv0(images), SLOPE)]
        for layer in (self.conv1, self.conv2, self.conv3):
            down.append(F.leaky_relu(layer(down[-1]), SLOPE))
        maps = down.pop()
        for layer in (self.conv4, self.conv5, self.conv6):
            maps = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
            maps = F.leaky_relu(layer(maps), SLOPE)
            skipped = down.pop()
            if self.skip_connection:
                maps = maps + skipped
        for layer in (self.conv7, self.conv8):
            maps = F.leaky_relu(layer(maps), SLOPE)
        return self.conv9(maps)
