"""The efficient pyramid feature fusion of ViDT+ (arXiv 2204.07962, naver-ai/vidt @ a8c48b5).

Maps are fused from coarse to fine by bilinear enlarging, 1x1 convolutions and bottlenecks, at all levels in 256
channels: a feature pyramid in the place of a transformer encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """Residual unit ``x + conv1x1(relu(conv3x3(relu(conv1x1(relu(x))))))`` without norms.

    Args:
        channels: of input and output; a quarter of them in between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels // 4, 3, padding=1)
        self.conv3 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape, ``(B, C, H, W)``."""
        inner = self.conv2(self.conv1(maps.relu()).relu_())
        return maps + self.conv3(inner.relu_())


class Fusion(nn.Module):
    """One level: the coarser result, enlarged and smoothed, plus the refined own map, refined together.

    Args:
        channels: of all maps.
        coarsest: whether nothing is coarser; then the own map is refined alone.
    """

    def __init__(self, channels: int, coarsest: bool) -> None:
        super().__init__()
        if not coarsest:  # officially the coarsest level has these two, and never uses them
            self.smoothing = nn.Conv2d(channels, channels, 1)
            self.resConfUnit1 = Bottleneck(channels)
        self.resConfUnit2 = Bottleneck(channels)

    def forward(self, own: Tensor, coarser: Tensor | None = None) -> Tensor:
        """Return the fused map, ``(B, C, H, W)``, of the own one and of the coarser result, ``(B, C, h, w)``."""
        if coarser is not None:
            # smoothed before it is enlarged: the same, as interpolation weights sum to one, on a quarter of the pixels
            smooth = self.smoothing(coarser)
            own = F.interpolate(smooth, own.shape[-2:], mode="bilinear", align_corners=True) + self.resConfUnit1(own)
        return self.resConfUnit2(own)


@MODELS.register_module()
class EPFF(BaseModule):
    """Neck that fuses maps of the body from coarse to fine, and gives them coarsest first.

    Args:
        in_channels: widths of the maps, finest first.
        out_channels: width of the results.
        num_groups: groups of the norm behind the first projection.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_levels = len(in_channels)
        for level, channels in enumerate(in_channels):
            setattr(self, f"layer_{level}_rn", nn.Conv2d(channels, out_channels, 1))
            setattr(self, f"p_norm_{level}", nn.GroupNorm(num_groups, out_channels))
            setattr(self, f"refinenet_{level}", Fusion(out_channels, coarsest=level == self.num_levels - 1))

    def init_weights(self) -> None:
        """Draw the projections as officially, xavier-uniform without bias; bottlenecks keep PyTorch's defaults."""
        for level in range(self.num_levels):
            projection = getattr(self, f"layer_{level}_rn")
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)
        super().init_weights()  # it ends with what a file of ``init_cfg`` says

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the fused maps, coarsest first.

        Args:
            inputs: maps ``(B, C_l, H_l, W_l)``, finest first.

        Raises:
            ValueError: there are more or fewer maps than ``in_channels``.
        """
        if len(inputs) != self.num_levels:
            raise ValueError(
                f"EPFF was built for {self.num_levels} maps (in_channels) and gets {len(inputs)}: give it the widths "
                "of the body's maps"
            )
        fused: list[Tensor] = []
        for level in reversed(range(self.num_levels)):
            own = getattr(self, f"p_norm_{level}")(getattr(self, f"layer_{level}_rn")(inputs[level]))
            fused.append(getattr(self, f"refinenet_{level}")(own, fused[-1] if fused else None))
        return tuple(fused)
