"""The hierarchical feature fusion block: three maps of different sizes from tokens of one size (arXiv 2502.00315).

Source: ``input_proj`` of JihyeokKim/MonoDINO-DETR @ 65004cc. A ViT has one resolution; transposed convolutions make the
pyramid that deformable attention samples.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn


@MODELS.register_module()
class HierarchicalFeatureFusion(BaseModule):
    """Brings tokens of the last three chosen blocks to one width and to 4, 2 and 1 times their grid.

    Args:
        in_channels: C, channels of the tokens.
        mid_channels: channels before the grids of the first two levels grow: 96 and 192 for ViT-S, 192 and 384 for
            ViT-B, 512 and 1024 for ViT-L.
        out_channels: channels of the maps.
        num_groups: of the norms.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        in_channels: int = 768,
        mid_channels: Sequence[int] = (192, 384),
        out_channels: int = 256,
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.out_channels = in_channels, out_channels
        levels = [
            nn.Sequential(
                nn.Conv2d(in_channels, middle, 1),
                nn.GroupNorm(num_groups, middle),
                nn.ConvTranspose2d(middle, out_channels, scale, stride=scale),
                nn.GroupNorm(num_groups, out_channels),
            )
            for middle, scale in zip(mid_channels, (4, 2), strict=True)
        ]
        last = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.GroupNorm(num_groups, out_channels))
        self.input_proj = ModuleList([*levels, last])

    def init_weights(self) -> None:
        """Draw the 1x1 convolutions xavier-uniform without bias; transposed ones keep torch's start, as officially."""
        if not self.is_init:  # a second call changes nothing, as in mmengine
            for level in self.input_proj:
                nn.init.xavier_uniform_(level[0].weight)
                nn.init.zeros_(level[0].bias)
        super().init_weights()

    def forward(self, tokens: Sequence[Tensor], grid: tuple[int, int]) -> tuple[Tensor, ...]:
        """Return the maps ``(B, out_channels, k h, k w)`` for k = 4, 2, 1.

        Args:
            tokens: of three blocks, without class tokens, row by row, ``(B, h w, C)``.
            grid: ``(h, w)``.

        Raises:
            ValueError: there are not three of them.
        """
        if len(tokens) != len(self.input_proj):
            raise ValueError(f"the fusion takes tokens of {len(self.input_proj)} blocks, it was given {len(tokens)}")
        maps = (one.transpose(1, 2).unflatten(2, grid) for one in tokens)
        return tuple(level(one) for level, one in zip(self.input_proj, maps, strict=True))
