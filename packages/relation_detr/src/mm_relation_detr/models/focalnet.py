"""FocalNet backbone: focal modulation in place of attention (Yang et al., NeurIPS 2022, arXiv 2203.11926).

As Relation-DETR (arXiv 2407.11699) uses it, xiuqhou/Relation-DETR @ b485955: convolutional embedding, post-LN blocks
with layer scale, one LayerNorm per output. Neither mmdet nor mmpretrain has it. Written from the formulas; names of
weights are those of microsoft/FocalNet, so that its files load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class FocalModulation(nn.Module):
    """Query tokens modulated by contexts of growing reach (arXiv 2203.11926, equations 4 to 6).

    Args:
        dim: channels C.
        focal_window: kernel of the first context.
        focal_level: number of contexts beside the global one; kernels grow by 2.
    """

    def __init__(self, dim: int, focal_window: int, focal_level: int) -> None:
        super().__init__()
        self.dim, self.focal_level = dim, focal_level
        self.f = nn.Linear(dim, 2 * dim + focal_level + 1)
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False), nn.GELU())
            for kernel in range(focal_window, focal_window + 2 * focal_level, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Modulate ``(B, H, W, C)``; the shape stays."""
        sizes = (self.dim, self.dim, self.focal_level + 1)
        query, context, gates = (
            self.f(x).permute(0, 3, 1, 2).split(sizes, 1)
        )  # (B, C, H, W) twice, (B, levels + 1, H, W)
        gathered: Tensor | float = 0.0
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            gathered = gathered + context * gates[:, level : level + 1]
        everywhere = F.gelu(context.mean((2, 3), keepdim=True))
        gathered = gathered + everywhere * gates[:, self.focal_level :]
        modulator = self.h(gathered / (self.focal_level + 1))
        return self.proj((query * modulator).permute(0, 2, 3, 1))


class FocalMLP(nn.Module):
    """Linear, GELU, linear, under the official names.

    Args:
        dim: channels C.
        hidden: channels in between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to ``(..., C)``."""
        return self.fc2(F.gelu(self.fc1(x)))


class FocalBlock(nn.Module):
    """Modulation and MLP, each normalised AFTER it, scaled per channel and added.

    Args:
        dim: channels C.
        mlp_ratio: hidden channels of the MLP by C.
        focal_window, focal_level: see :class:`FocalModulation`.
        drop_path: probability that a sample skips a branch in training.
        layer_scale: initial scale of both branches.
    """

    def __init__(
        self, dim: int, mlp_ratio: float, focal_window: int, focal_level: int, drop_path: float, layer_scale: float
    ) -> None:
        super().__init__()
        self.modulation = FocalModulation(dim, focal_window, focal_level)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = FocalMLP(dim, int(dim * mlp_ratio))
        self.norm2 = nn.LayerNorm(dim)
        self.gamma_1 = nn.Parameter(torch.full((dim,), layer_scale))
        self.gamma_2 = nn.Parameter(torch.full((dim,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to the same shape."""
        x = x + self.drop_path(self.gamma_1 * self.norm1(self.modulation(x)))
        return x + self.drop_path(self.gamma_2 * self.norm2(self.mlp(x)))


class FocalEmbedding(nn.Module):
    """A strided, overlapping convolution and a LayerNorm; the map is first padded to whole strides.

    Args:
        in_channels, out_channels: channels before and after.
        kernel_size, stride, padding: of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in, H, W)`` to ``(B, ceil(H / stride), ceil(W / stride), out)``, channels last."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class FocalStage(nn.Module):
    """Blocks of one resolution, and the way to the next.

    Args:
        blocks: the blocks.
        downsample: to the next stage; None for the last.
    """

    def __init__(self, blocks: Sequence[FocalBlock], downsample: FocalEmbedding | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


@MODELS.register_module()
class FocalNet(BaseModule):
    """FocalNet; the defaults are FocalNet-L with large receptive fields and four focal levels ("lrf fl4").

    Args:
        in_channels: channels of the image.
        embed_dim: channels of the first stage; each further one has twice as many.
        depths: blocks of each stage.
        mlp_ratio: hidden channels of the MLPs by their channels.
        focal_levels, focal_windows: of each stage, see :class:`FocalModulation`.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0 at the first.
        layer_scale: initial scale of the residual branches.
        out_indices: stages whose normalised maps are returned; before the stage's downsampling.
        frozen_stages: that many stages, with what leads to them, get no gradient; -1 freezes nothing, as officially,
            0 the stem alone. Stochastic depth stays active there.
        with_cp: recompute blocks in the backward pass instead of keeping their activations.
        init_cfg: see mmengine; None draws linear layers from a truncated normal of deviation 0.02.
            ``dict(type='PretrainedBackbone', checkpoint=...)`` loads microsoft/FocalNet's files.

    Raises:
        ValueError: the lengths of ``depths``, ``focal_levels`` and ``focal_windows`` differ, or an index is no stage's.
    """

    def __init__(
        self,
        in_channels: int = 3,
        embed_dim: int = 192,
        depths: Sequence[int] = (2, 2, 18, 2),
        mlp_ratio: float = 4.0,
        focal_levels: Sequence[int] = (4, 4, 4, 4),
        focal_windows: Sequence[int] = (3, 3, 3, 3),
        drop_path_rate: float = 0.5,
        layer_scale: float = 1e-4,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="TruncNormal", layer="Linear", std=0.02))
        if not len(depths) == len(focal_levels) == len(focal_windows):
            raise ValueError(
                f"depths={depths}, focal_levels={focal_levels} and focal_windows={focal_windows} need one entry per "
                "stage each"
            )
        if any(not 0 <= index < len(depths) for index in out_indices):
            raise ValueError(f"out_indices={out_indices}: stages are 0 to {len(depths) - 1}")
        self.out_indices, self.frozen_stages, self.with_cp = tuple(out_indices), frozen_stages, with_cp
        dims = [embed_dim * 2**stage for stage in range(len(depths))]
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device="cpu").tolist())
        self.patch_embed = FocalEmbedding(in_channels, embed_dim, kernel_size=7, stride=4, padding=2)
        self.layers = nn.ModuleList()
        for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            blocks = [
                FocalBlock(dim, mlp_ratio, focal_windows[stage], focal_levels[stage], next(rates), layer_scale)
                for _ in range(depth)
            ]
            last = stage == len(depths) - 1
            downsample = None if last else FocalEmbedding(dim, 2 * dim, kernel_size=3, stride=2, padding=1)
            self.layers.append(FocalStage(blocks, downsample))
        for stage in self.out_indices:
            self.add_module(f"norm{stage}", nn.LayerNorm(dims[stage]))
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps ``(B, C, H, W)`` of ``out_indices`` for images ``(B, 3, H, W)``, strides 4, 8, 16, 32."""
        outputs = []
        x = self.patch_embed(x)  # (B, H, W, C) from here on
        for index, stage in enumerate(self.layers):
            for block in stage.blocks:
                recompute = self.with_cp and torch.is_grad_enabled()
                x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
            if index in self.out_indices:
                outputs.append(getattr(self, f"norm{index}")(x).permute(0, 3, 1, 2).contiguous())
            if stage.downsample is not None:
                x = stage.downsample(x.permute(0, 3, 1, 2))
        return tuple(outputs)

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        self.patch_embed.requires_grad_(False)
        for index, stage in enumerate(self.layers[: self.frozen_stages]):
            stage.requires_grad_(False)
            if index in self.out_indices:
                getattr(self, f"norm{index}").requires_grad_(False)
