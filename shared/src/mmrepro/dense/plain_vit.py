"""The plain vision transformer that backbones build on: patches, position table, pre-norm blocks, no class token.

Papers: ViT (arXiv 2010.11929), LayerScale (arXiv 2103.17239), windows as in ViTDet (arXiv 2203.16527). Official code:
Traffic-X/ViT-CoMer @ b57f386, mmdet_custom/models/backbones/base/vit.py (Apache-2.0), whose parameter names, timm's,
are kept so that public weights load. mmpretrain's VisionTransformer is another network: it keeps the class token, has a
norm after its blocks, no windows, and other names.

The interface of a trunk, which backbones use and nothing more:

- ``trunk.embed(images) -> (tokens, H, W)``: tokens ``(B, H*W, C)`` with positions, row by row;
- ``trunk.run_blocks(tokens, H, W, first, last) -> tokens``: blocks `first` to `last`, both included;
- ``trunk.embed_dim`` and ``trunk.blocks``, an ``nn.ModuleList`` whose items are called ``block(tokens, H, W)`` and
  return tokens of the same shape.

:class:`VisionTransformerTrunk` has all of it for any blocks that it is given: :func:`vit_blocks` makes those of this
file, ViT-CoMer's ``beit_blocks`` those of BEiT.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.dense.position_embedding import PositionEmbedding
from mmrepro.ops.pointwise import PointwiseLinear
from mmrepro.ops.windows import merge, partition

NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """Tokens of image patches, without a norm: (B, 3, h, w) to (B, h/p * w/p, C), row by row.

    Args:
        embed_dim: width C.
        patch_size: side p of a patch in pixels.
    """

    def __init__(self, embed_dim: int, patch_size: int = 16):
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> tuple[Tensor, int, int]:
        """Return the tokens (B, H*W, C), H and W."""
        maps = self.proj(images)
        height, width = maps.shape[2:]
        return maps.permute(0, 2, 3, 1).flatten(1, 2), height, width


class Attention(nn.Module):
    """Attention among all tokens of an image.

    Args:
        embed_dim: width C.
        num_heads: number of heads h.

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(self, embed_dim: int, num_heads: int):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim={embed_dim} is no multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.qkv = PointwiseLinear(embed_dim, 3 * embed_dim)
        self.proj = PointwiseLinear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Attend: (B, H*W, C) to the same."""
        return self.proj(attend(self.qkv(tokens), self.num_heads))


class WindowAttention(Attention):
    """Attention inside windows of s x s tokens.

    Windows that reach over the map's edge are filled up after the projection, with keys and values of zero that are not
    masked: each adds exp(0) to the softmax's denominator, as in the official code.

    Args:
        embed_dim: width C.
        num_heads: number of heads h.
        window_size: side s of a window in tokens.
    """

    def __init__(self, embed_dim: int, num_heads: int, window_size: int):
        super().__init__(embed_dim, num_heads)
        self.window_size = window_size

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Attend: (B, H*W, C) to the same."""
        qkv = partition(self.qkv(tokens).unflatten(1, (height, width)), self.window_size)  # (B*n, s*s, 3C)
        maps = merge(attend(qkv, self.num_heads), self.window_size, height, width)
        return self.proj(maps.flatten(1, 2))


def attend(qkv: Tensor, num_heads: int) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v of each head: (B, N, 3*h*d) to (B, N, h*d)."""
    queries, keys, values = qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, h, N, d)
    return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    """The feed-forward part: C to ``hidden``, the exact GELU, and back.

    Args:
        embed_dim: width C.
        hidden: width between the layers.
    """

    def __init__(self, embed_dim: int, hidden: int):
        super().__init__()
        self.fc1 = PointwiseLinear(embed_dim, hidden)
        self.fc2 = PointwiseLinear(hidden, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply both layers: (B, N, C) to the same."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """A pre-norm block whose two branches are scaled by vectors.

    Args:
        embed_dim: width C.
        attention: of tokens, called with tokens, H and W.
        mlp_ratio: width inside the feed-forward part, divided by C.
        drop_path: probability of leaving a branch out for a sample in training.
        layer_scale: multiply branches by ``gamma1`` and ``gamma2``, which begin at 1, so that weights trained without
            them, DeiT's for one, give the same.
    """

    def __init__(
        self,
        embed_dim: int,
        attention: nn.Module,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        layer_scale: bool = True,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.attn = attention
        self.norm2 = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.mlp = Mlp(embed_dim, int(embed_dim * mlp_ratio))
        self.gamma1 = nn.Parameter(torch.ones(embed_dim)) if layer_scale else None
        self.gamma2 = nn.Parameter(torch.ones(embed_dim)) if layer_scale else None
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Apply the block: (B, H*W, C) to the same."""
        tokens = self._add(tokens, self.attn(self.norm1(tokens), height, width), self.gamma1)
        return self._add(tokens, self.mlp(self.norm2(tokens)), self.gamma2)

    def _add(self, tokens: Tensor, branch: Tensor, gamma: Tensor | None) -> Tensor:
        if gamma is None:
            return tokens + self.drop_path(branch)
        if self.training and self.drop_path.drop_prob:
            return tokens + self.drop_path(gamma * branch)
        return torch.addcmul(tokens, gamma, branch)


def vit_blocks(
    embed_dim: int,
    depth: int,
    num_heads: int,
    mlp_ratio: float = 4.0,
    drop_path_rate: float = 0.0,
    window_attn: bool | Sequence[bool] = False,
    window_size: int | Sequence[int | None] | None = 14,
    layer_scale: bool = True,
) -> list[Block]:
    """Make the blocks of a plain ViT.

    Args:
        embed_dim: width C.
        depth: number of blocks.
        num_heads: heads of each.
        mlp_ratio: width inside feed-forward parts, divided by C.
        drop_path_rate: stochastic depth of the last block; it grows to that from 0 in the first one.
        window_attn: whether attention stays inside windows, for all blocks or for each.
        window_size: side of windows in tokens, for all blocks or for each; not read where there are none.
        layer_scale: whether blocks have ``gamma1`` and ``gamma2``.

    Raises:
        ValueError: lists are not as long as the trunk is deep, or a window has no size.
    """
    rates = drop_path_rates(drop_path_rate, depth)
    windows = window_sizes(window_attn, window_size, depth)
    blocks = []
    for rate, size in zip(rates, windows, strict=True):
        attention = Attention(embed_dim, num_heads) if size is None else WindowAttention(embed_dim, num_heads, size)
        blocks.append(Block(embed_dim, attention, mlp_ratio, rate, layer_scale))
    return blocks


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return each block's probability of being left out: from 0 in equal steps to `last`."""
    return [last * i / max(depth - 1, 1) for i in range(depth)]


def window_sizes(
    window_attn: bool | Sequence[bool], window_size: int | Sequence[int | None] | None, depth: int
) -> list[int | None]:
    """Return each block's window in tokens, None where it attends globally.

    Raises:
        ValueError: lists are not as long as the trunk is deep, or a window has no size.
    """
    flags = [window_attn] * depth if isinstance(window_attn, bool) else list(window_attn)
    sizes = [window_size] * depth if window_size is None or isinstance(window_size, int) else list(window_size)
    for name, values in (("window_attn", flags), ("window_size", sizes)):
        if len(values) != depth:
            raise ValueError(f"{name} has {len(values)} entries, the trunk {depth} blocks: give one for each")
    for i, (flag, size) in enumerate(zip(flags, sizes, strict=True)):
        if flag and (size is None or size < 1):
            raise ValueError(f"block {i} has window_attn=True and window_size={size}: give the side in tokens")
    return [size if flag else None for flag, size in zip(flags, sizes, strict=True)]


class VisionTransformerTrunk(BaseModule):
    """Patches, positions and blocks; see the module's docstring for what others use of it.

    Args:
        embed_dim: width C.
        blocks: called as ``block(tokens, H, W)``.
        patch_size: side of a patch in pixels.
        pretrain_size: side in pixels of the images that the position table was made for, a multiple of the patch; the
            table is resized to every other size. None for no table.
        class_row: whether the table's first row belongs to a class token. No trunk has such a token; the row is kept
            because public weights have it, and not used.
        with_cp: in training compute each block again in the backward pass instead of keeping its activations.
        init_cfg: as in every mmengine model.

    Raises:
        ValueError: ``pretrain_size`` is no multiple of the patch.
    """

    def __init__(
        self,
        embed_dim: int,
        blocks: Sequence[nn.Module],
        patch_size: int = 16,
        pretrain_size: int | None = 224,
        class_row: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.embed_dim = embed_dim
        self.patch_size = patch_size
        self.with_cp = with_cp
        self.patch_embed = PatchEmbed(embed_dim, patch_size)
        if pretrain_size is None:
            self.pos_embed = None
        else:
            self._positions = PositionEmbedding(pretrain_size, patch_size, class_row)
            self.pos_embed = nn.Parameter(torch.zeros(1, self._positions.rows, embed_dim))
        self.blocks = nn.ModuleList(blocks)

    def embed(self, images: Tensor) -> tuple[Tensor, int, int]:
        """Return tokens with positions (B, H*W, C), H and W of images (B, 3, h, w)."""
        tokens, height, width = self.patch_embed(images)
        if self.pos_embed is not None:
            # Under autocast tokens are half precision here: the sum, which all blocks add to, is the table's float32.
            tokens = tokens + self._positions.resized(self.pos_embed, height, width)
        return tokens, height, width

    def run_blocks(self, tokens: Tensor, height: int, width: int, first: int, last: int) -> Tensor:
        """Run blocks `first` to `last`, both included: (B, H*W, C) to the same."""
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        for block in self.blocks[first : last + 1]:
            if recompute:
                tokens = checkpoint(block, tokens, height, width, use_reentrant=False)
            else:
                tokens = block(tokens, height, width)
        return tokens


class PlainViT(VisionTransformerTrunk):
    """A trunk of plain ViT blocks.

    Args:
        embed_dim, depth, num_heads, mlp_ratio, drop_path_rate, window_attn, window_size, layer_scale: see
            :func:`vit_blocks`.
        pretrain_size, patch_size, with_cp, init_cfg: see :class:`VisionTransformerTrunk`.
    """

    def __init__(
        self,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        window_attn: bool | Sequence[bool] = False,
        window_size: int | Sequence[int | None] | None = 14,
        layer_scale: bool = True,
        pretrain_size: int = 224,
        patch_size: int = 16,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        blocks = vit_blocks(
            embed_dim, depth, num_heads, mlp_ratio, drop_path_rate, window_attn, window_size, layer_scale
        )
        super().__init__(embed_dim, blocks, patch_size, pretrain_size, with_cp=with_cp, init_cfg=init_cfg)
