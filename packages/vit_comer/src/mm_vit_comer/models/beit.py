"""BEiT's blocks for ViT-CoMer in Co-DETR: attention in windows with a relative position bias, no class token.

Papers: BEiT (arXiv 2106.08254), BEiTv2 (arXiv 2208.06366). Official code: Traffic-X/ViT-CoMer @ 8f2207f (branch
Co-DETR), class ``BEiTComer2``, whose parameter names, BEiT's, are kept so that public weights load. mmpretrain's and
mmseg's BEiT are other networks: they have a class token and a bias over the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrepro.dense.plain_vit import Attention, Block, drop_path_rates, window_sizes
from mmrepro.ops.windows import merge, partition


class BeitAttention(Attention):
    """Attention among all tokens of an image with a learned bias for each offset between two tokens.

    Args:
        embed_dim: width C.
        num_heads: number of heads h.
        table_size: side s in tokens of the largest map that the bias is for.
    """

    def __init__(self, embed_dim: int, num_heads: int, table_size: int):
        super().__init__(embed_dim, num_heads)
        self.table_size = table_size
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=False)  # keys have no bias
        self.q_bias = nn.Parameter(torch.zeros(embed_dim))
        self.v_bias = nn.Parameter(torch.zeros(embed_dim))
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * table_size - 1) ** 2, num_heads))

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Attend: (B, H*W, C) to the same.

        Raises:
            ValueError: the map is larger than the one that the bias is for.
        """
        if max(height, width) > self.table_size:
            raise ValueError(
                f"a map of {height} x {width} tokens has offsets that BEiT's tables, for {self.table_size} x "
                f"{self.table_size}, do not know. Fix: give the backbone a larger img_size, attention in windows "
                "(window_attn=True), or cut images into crops (test_cfg mode='slide')"
            )
        return self.proj(self.attend(tokens, height, width))

    def attend(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Return what each head gathers from maps of H x W tokens: (B, H*W, C) to the same, before ``proj``."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # each (B, h, H*W, d)
        offsets = relative_bias(self.relative_position_bias_table, height, width).to(queries.dtype)
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=offsets).transpose(1, 2).flatten(2)


class BeitWindowAttention(BeitAttention):
    """The same inside windows of s x s tokens.

    Windows that reach over the map's edge are filled up before the projection, unlike those of a plain ViT here: their
    tokens have the queries' and values' bias, a key of zero and the relative bias, and are not masked.

    Args:
        embed_dim: width C.
        num_heads: number of heads h.
        window_size: side s of a window in tokens.
    """

    def __init__(self, embed_dim: int, num_heads: int, window_size: int):
        super().__init__(embed_dim, num_heads, window_size)
        self.window_size = window_size

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Attend: (B, H*W, C) to the same."""
        size = self.window_size
        windows = partition(tokens.unflatten(1, (height, width)), size)  # (B*n, s*s, C)
        maps = merge(self.attend(windows, size, size), size, height, width)
        return self.proj(maps.flatten(1, 2))


def relative_bias(table: Tensor, height: int, width: int) -> Tensor:
    """Return the bias between every two tokens of a map, for a table of biases by their offset.

    The official code gathers rows by an index of s**4 entries, 79 MB for windows of 56. A row of tokens sees a shifted
    part of the table, so slices do.

    Args:
        table: ``((2s - 1)**2, h)``; row ``(dy + s - 1) * (2s - 1) + dx + s - 1`` is for a query dy rows below and dx
            columns right of the key.
        height, width: H and W of the map, at most s.

    Returns:
        ``(1, h, H*W, H*W)``: of queries and keys.
    """
    side = isqrt(table.shape[0])
    unused_rows, unused_columns = (side + 1) // 2 - height, (side + 1) // 2 - width
    grid = (
        table.t()
        .reshape(-1, side, side)[:, unused_rows : side - unused_rows, unused_columns : side - unused_columns]
        .flip(1, 2)
    )  # (h, y, x), both growing with the key's place
    rows = grid.unfold(2, width, 1).flip(2).transpose(1, 2).contiguous()  # (h, query x, y, key x)
    queries = [rows[:, :, height - 1 - y : 2 * height - 1 - y].flatten(2) for y in range(height)]
    return torch.stack(queries, dim=1).flatten(1, 2)[None]  # each (h, query x, H*W)


class BeitBlock(Block):
    """A pre-norm block with BEiT's names for the vectors that scale its branches, ``gamma_1`` and ``gamma_2``.

    Args:
        embed_dim: width C.
        attention: of tokens, called with tokens, H and W.
        mlp_ratio: width inside the feed-forward part, divided by C.
        drop_path: probability of leaving a branch out for a sample in training.
        init_values: what the vectors begin with; 0 for none of them.
    """

    def __init__(
        self,
        embed_dim: int,
        attention: nn.Module,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        init_values: float = 1e-6,
    ):
        super().__init__(embed_dim, attention, mlp_ratio, drop_path, layer_scale=False)
        self.gamma_1 = nn.Parameter(torch.full((embed_dim,), init_values)) if init_values else None
        self.gamma_2 = nn.Parameter(torch.full((embed_dim,), init_values)) if init_values else None

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Apply the block: (B, H*W, C) to the same."""
        tokens = self._add(tokens, self.attn(self.norm1(tokens), height, width), self.gamma_1)
        return self._add(tokens, self.mlp(self.norm2(tokens)), self.gamma_2)


def beit_blocks(
    embed_dim: int,
    depth: int,
    num_heads: int,
    mlp_ratio: float = 4.0,
    drop_path_rate: float = 0.0,
    window_attn: bool | Sequence[bool] = True,
    window_size: int | Sequence[int | None] | None = 14,
    init_values: float = 1e-6,
    img_size: int = 224,
    patch_size: int = 16,
) -> list[BeitBlock]:
    """Make the blocks of a BEiT.

    Args:
        embed_dim: width C.
        depth: number of blocks.
        num_heads: heads of each.
        mlp_ratio: width inside feed-forward parts, divided by C.
        drop_path_rate: stochastic depth of the last block; it grows to that from 0 in the first one.
        window_attn: whether attention stays inside windows, for all blocks or for each.
        window_size: side of windows in tokens, for all blocks or for each; not read where there are none.
        init_values: what ``gamma_1`` and ``gamma_2`` begin with; 0 for none of them.
        img_size: side in pixels of the largest image that a block without a window can see.
        patch_size: side of a patch in pixels.

    Raises:
        ValueError: lists are not as long as the trunk is deep, or a window has no size.
    """
    blocks = []
    rates = drop_path_rates(drop_path_rate, depth)
    for size, rate in zip(window_sizes(window_attn, window_size, depth), rates, strict=True):
        attention = (
            BeitAttention(embed_dim, num_heads, img_size // patch_size)
            if size is None
            else BeitWindowAttention(embed_dim, num_heads, size)
        )
        blocks.append(BeitBlock(embed_dim, attention, mlp_ratio, rate, init_values))
    return blocks
