"""The DINOv2 vision transformer (arXiv 2304.07193) that MonoDINO-DETR looks through, frozen.

mmpretrain's transformer of the same name norms the last level alone and resizes its position embedding to other
coordinates, so its numbers differ from the official ones. Names of weights are those of the public files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_monodino_detr.models.frozen import compute_as, freeze
from mmrepro.ops.pointwise import PointwiseLinear

PATCH = 14
ARCHS: dict[str, dict[str, Any]] = {
    "small": dict(embed_dims=384, depth=12, num_heads=6, out_indices=(2, 5, 8, 11)),
    "base": dict(embed_dims=768, depth=12, num_heads=12, out_indices=(2, 5, 8, 11)),
    "large": dict(embed_dims=1024, depth=24, num_heads=16, out_indices=(4, 11, 17, 23)),
}
EPS = 1e-6
MLP_RATIO = 4
# DINOv2 asks for a grid a tenth of a patch larger, against rounding, and so shifts where the embedding is read.
RESIZE_OFFSET = 0.1

Grid = tuple[int, int]


class Attention(nn.Module):
    """Self-attention with one projection to queries, keys and values.

    Args:
        channels: C.
        heads: number of heads; it divides C.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = PointwiseLinear(channels, 3 * channels)
        self.proj = PointwiseLinear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend ``(B, N, C)`` to itself; the ``(heads, N, N)`` weights are never stored."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them.

    Args:
        channels: of the tokens; four times as many are hidden.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = PointwiseLinear(channels, MLP_RATIO * channels)
        self.fc2 = PointwiseLinear(MLP_RATIO * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """A factor for each channel.

    Args:
        channels: of the tokens.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Scale ``(B, N, C)``."""
        return tokens * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block whose two branches are scaled.

    Args:
        channels: of the tokens.
        heads: of the attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=EPS)
        self.attn = Attention(channels, heads)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=EPS)
        self.mlp = Mlp(channels)
        self.ls2 = LayerScale(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to the same shape."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class PatchEmbed(nn.Module):
    """Cut an image into patches of 14 x 14 pixels by a convolution.

    Args:
        channels: of a patch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Return patches ``(B, N, C)``, row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


@MODELS.register_module()
class DINOv2ViT(BaseModule):
    """DINOv2's ViT with patches of 14 pixels and without register tokens, read at several depths.

    Args:
        arch: a name of ``ARCHS``, or a dict of ``embed_dims``, ``depth``, ``num_heads`` and ``out_indices``.
        img_size: side of the square images that the position embedding was made for, in pixels; 518 in every public
            file. Others are computed with a resized embedding.
        out_indices: numbers of the blocks, from 0 and ascending, whose tokens leave; None takes those of the arch.
        frozen: never train: no gradient is kept, and evaluation mode stays on. As published.
        bf16: compute in bfloat16, whatever the rest of the model does; tokens leave in the images' type.
        with_cp: recompute each block in the backward pass instead of keeping what it computed, where not frozen.
        init_cfg: ``dict(type='PretrainedDepthAnything', checkpoint=...)`` or ``dict(type='PretrainedDINOv2', ...)``
            loads a public file.

    Attributes:
        embed_dims: C.
        side: patches on a side of the square that the position embedding was made for.
        out_indices: as above.

    Raises:
        ValueError: the arch is unknown or lacks a setting, ``img_size`` is not a multiple of 14, a block to read does
            not exist, the blocks do not ascend, or the heads do not divide C.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "base",
        img_size: int = 518,
        out_indices: Sequence[int] | None = None,
        frozen: bool = True,
        bf16: bool = False,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        settings = arch_settings(arch, ARCHS)
        channels, depth, heads = (settings[name] for name in ("embed_dims", "depth", "num_heads"))
        self.out_indices = tuple(settings["out_indices"] if out_indices is None else out_indices)
        if img_size < PATCH or img_size % PATCH:
            raise ValueError(f"img_size={img_size} must be a multiple of {PATCH}, the side of a patch")
        if not self.out_indices or not set(self.out_indices) <= set(range(depth)):
            raise ValueError(f"out_indices={self.out_indices}: blocks are 0 to {depth - 1}, and one at least leaves")
        if list(self.out_indices) != sorted(set(self.out_indices)):
            raise ValueError(f"out_indices={self.out_indices}. Fix: in ascending order, each once, as tokens leave")
        if channels % heads:
            raise ValueError(f"embed_dims={channels} must be a multiple of num_heads={heads}")
        self.embed_dims, self.side = channels, img_size // PATCH
        self.frozen, self.bf16, self.with_cp = frozen, bf16, with_cp
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, channels))
        # DINOv2's own training masks with it. Public files have it, and nothing here reads it.
        self.mask_token = nn.Parameter(torch.zeros(1, channels), requires_grad=False)
        self.patch_embed = PatchEmbed(channels)
        self.blocks = nn.ModuleList(Block(channels, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.blocks[max(self.out_indices) + 1 :].requires_grad_(False)  # a file fills them, and nothing reads them
        if frozen:
            freeze(self)

    def init_weights(self) -> None:
        """Draw as DINOv2 does, then follow ``init_cfg``."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        if self.init_cfg is not None:
            initialize(self, self.init_cfg)

    def train(self, mode: bool = True) -> DINOv2ViT:
        """Set the mode; a frozen network stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> tuple[tuple[Tensor, ...], Grid]:
        """Return the patches' tokens after the blocks of ``out_indices``, and the grid that they lie on.

        Args:
            images: ``(B, 3, H, W)``, RGB, normalised; both sides multiples of 14.

        Returns:
            For each block ``(B, N, C)``, N = H/14 * W/14 row by row, after the norm that all levels share, and
            (H/14, W/14).

        Raises:
            ValueError: the sides are not multiples of 14.
        """
        levels, grid = self.levels(images)
        return tuple(level[:, 1:] for level in levels), grid

    def levels(self, images: Tensor) -> tuple[tuple[Tensor, ...], Grid]:
        """Return as :meth:`forward`, but with the class token before the patches: ``(B, 1 + N, C)``.

        Raises:
            ValueError: as :meth:`forward`.
        """
        with compute_as(self, images):
            tokens, grid = self.embed(images)
            levels = []
            for number, block in enumerate(self.blocks[: max(self.out_indices) + 1]):
                tokens = self._run(block, tokens)
                if number in self.out_indices:
                    levels.append(self.norm(tokens).to(images.dtype))
        return tuple(levels), grid

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Return what the first block takes, ``(B, 1 + N, C)``: class token and patches with their positions.

        Raises:
            ValueError: as :meth:`forward`.
        """
        height, width = images.shape[-2:]
        if height % PATCH or width % PATCH or not height * width:
            raise ValueError(f"images of {height} x {width} pixels: pad them until both sides are multiples of {PATCH}")
        grid = (height // PATCH, width // PATCH)
        patches = self.patch_embed(images)
        cls_token = self.cls_token.expand(images.shape[0], -1, -1)
        return torch.cat((cls_token, patches), 1) + self.position_embedding(grid), grid

    def position_embedding(self, grid: Grid) -> Tensor:
        """Return the position embedding ``(1, 1 + h*w, C)`` of a grid (h, w): as learned, or by a bicubic resize."""
        if grid == (self.side, self.side):
            return self.pos_embed
        square = self.pos_embed[:, 1:].float().unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)
        scale = [(side + RESIZE_OFFSET) / self.side for side in grid]
        resized = F.interpolate(square, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)), 1)

    def _run(self, block: Block, tokens: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled() and tokens.requires_grad:
            return checkpoint(block, tokens, use_reentrant=False)
        return block(tokens)


def arch_settings(arch: str | Mapping[str, Any], archs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the settings of an arch.

    Raises:
        ValueError: no arch has that name, or a setting is missing or unknown.
    """
    if isinstance(arch, str):
        if arch not in archs:
            raise ValueError(f"arch={arch!r} is unknown. Fix: one of {', '.join(archs)}, or a dict of settings")
        return archs[arch]
    names = next(iter(archs.values()))
    if set(arch) != set(names):
        raise ValueError(f"arch has {', '.join(arch)}. Fix: give {', '.join(names)}")
    return arch
