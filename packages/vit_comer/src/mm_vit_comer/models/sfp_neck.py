"""The neck of Co-DETR with ViT-CoMer: a simple feature pyramid on the ViT's map, the backbone's maps added to it.

Paper: arXiv 2403.07392; pyramid: ViTDet, arXiv 2203.16527. Official code: Traffic-X/ViT-CoMer @ 8f2207f (branch
Co-DETR), class ``SFP``, whose names the layers keep. Changed: the lateral convolutions' sizes follow the arguments
(there 1024 and 256), and maps of images whose sides are no multiples of 32 are cropped to the backbone's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

_EPS = 1e-6


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map ``(B, C, H, W)``; free of copies where the map lies channels-last.

    mmpretrain's ``LN2d`` is the same, but this package does without mmpretrain.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map."""
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


@MODELS.register_module()
class SFPWithLateral(BaseModule):
    """Five maps for a detector, at strides 4, 8, 16, 32 and 64.

    Args:
        in_channels: channels ``D`` of the ViT's map and of the backbone's four; a multiple of 4.
        out_channels: channels of every map that comes out.
        init_cfg: as for every module of mmengine.
    """

    def __init__(self, in_channels: int = 1024, out_channels: int = 256, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels % 4:
            raise ValueError(f"SFPWithLateral halves in_channels twice; {in_channels} is no multiple of 4")
        half, quarter = in_channels // 2, in_channels // 4
        self.p2 = nn.Sequential(
            nn.Upsample(scale_factor=2),
            *_conv_norm(in_channels, half, 3),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            *_conv_norm(half, quarter, 3),
            nn.GELU(),
            *_to_output(quarter, out_channels),
        )
        self.p3 = nn.Sequential(
            nn.Upsample(scale_factor=2),
            *_conv_norm(in_channels, half, 3),
            nn.GELU(),
            *_to_output(half, out_channels),
        )
        self.p4 = nn.Sequential(*_to_output(in_channels, out_channels))
        self.p5 = nn.Sequential(nn.MaxPool2d(3, 2, 1), *_to_output(in_channels, out_channels))
        self.p6 = nn.Sequential(
            nn.MaxPool2d(3, 2, 1),
            *_conv_norm(in_channels, in_channels, 3, stride=2),
            nn.GELU(),
            *_to_output(in_channels, out_channels),
        )
        for name in ("fc11", "fc22", "fc33", "fc44"):
            self.add_module(name, nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the five maps.

        Args:
            inputs: ``(x, f1, f2, f3, f4)`` as ``ViTCoMer(out_x=True)`` returns them: the ViT's map at stride 16 and the
                backbone's at 4, 8, 16 and 32, all ``(B, D, H, W)``.

        Returns:
            p2 to p6, ``(B, out_channels, H, W)`` at strides 4, 8, 16, 32, 64.

        Raises:
            ValueError: there are not five maps.
        """
        if len(inputs) != 5:
            raise ValueError(
                f"SFPWithLateral takes the ViT's map and the backbone's four, got {len(inputs)} maps. "
                "Fix: set out_x=True in the ViTCoMer backbone"
            )
        x, *maps = inputs
        x = x.contiguous(memory_format=torch.channels_last)  # the norms then need no copies
        outputs = []
        for level, lateral, feature in zip(
            (self.p2, self.p3, self.p4, self.p5), (self.fc11, self.fc22, self.fc33, self.fc44), maps, strict=True
        ):
            height, width = feature.shape[-2:]
            # twice a side that was rounded up can be more than the finer map's
            outputs.append(level(x)[..., :height, :width] + lateral(feature))
        return (*outputs, self.p6(x))


def _conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        ChannelLayerNorm(out_channels, eps=_EPS),
    ]


def _to_output(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [*_conv_norm(in_channels, out_channels, 1), nn.GELU(), *_conv_norm(out_channels, out_channels, 3)]
