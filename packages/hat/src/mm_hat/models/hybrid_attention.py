"""The hybrid attention block (HAB): window attention and channel attention side by side.

Paper: arXiv 2309.05239, eqs. (2) to (4). Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0), whose
parameter names are kept. Changed here: the attention is fused, see ``windows.py``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_hat.models.channel_attention import CAB
from mm_hat.models.pointwise import DropPath, Mlp
from mm_hat.models.relative_position import gather_bias
from mm_hat.models.windows import ShiftedOrder, attend, pad_heads, shift_mask
from mmrepro.ops.pointwise import PointwiseLinear, linear
from mmrepro.ops.windows import merge, partition

__all__ = ["HAB", "WindowAttention", "shift_mask"]


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows with a learned bias for each relative position, eq. (4).

    Args:
        channels: width C, a multiple of ``heads``.
        window_size: side M of the window.
        heads: number of heads h.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the logits; (C / h) ** -0.5 by default.
        attn_drop: dropout of attention weights.
        proj_drop: dropout of the result.
    """

    def __init__(
        self,
        channels: int,
        window_size: int,
        heads: int,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ):
        super().__init__()
        self.heads = heads
        self.scale = qk_scale or (channels // heads) ** -0.5
        self.attn_drop = attn_drop
        self.proj_drop = proj_drop
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, heads))
        self.qkv = PointwiseLinear(channels, 3 * channels, bias=qkv_bias)
        self.proj = PointwiseLinear(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor, index: Tensor, kinds: list[tuple[int, Tensor | None]]) -> Tensor:
        """Attend inside each window.

        Args:
            windows: (windows, M*M, C).
            index: (M*M, M*M), rows of the bias table.
            kinds: number of windows and their mask (M*M, M*M), None for no mask, kind after kind.

        Returns:
            (windows, M*M, C).
        """
        attended = self._attend(windows, index, kinds)
        return F.dropout(project_out(attended, self.proj, self.heads), self.proj_drop, self.training)

    def _attend(self, windows: Tensor, index: Tensor, kinds: list[tuple[int, Tensor | None]]) -> Tensor:
        """Return the heads' results side by side, (windows, M*M, h*d) with d padded."""
        query, key, value = project(windows, self.qkv.weight, self.qkv.bias, self.heads, 3).unbind(2)
        bias = gather_bias(self.relative_position_bias_table, index)
        dropout = self.attn_drop if self.training else 0.0
        results, start = [], 0
        for count, mask in kinds:
            part = slice(start, start + count)
            start += count
            if count:
                logits_bias = bias if mask is None else bias + mask
                results.append(attend(query[part], key[part], value[part], logits_bias, self.scale, dropout))
        return results[0] if len(results) == 1 else torch.cat(results)


def project(tokens: Tensor, weight: Tensor, bias: Tensor | None, heads: int, parts: int) -> Tensor:
    """Project tokens (..., C) to ``parts`` of queries, keys, values: (..., parts, h, d) with d padded."""
    weight = pad_heads(weight, parts * heads)
    if bias is not None:
        bias = pad_heads(bias[:, None], parts * heads)[:, 0]
    return linear(tokens, weight, bias).unflatten(-1, (parts, heads, -1))


def project_out(attended: Tensor, layer: nn.Linear, heads: int) -> Tensor:
    """Apply the last projection to heads (..., h*d) whose d is padded: (..., C)."""
    return linear(attended, pad_heads(layer.weight.t(), heads).t(), layer.bias)


class HAB(nn.Module):
    """Window attention plus ``conv_scale`` times the convolutional branch, then the feed-forward part.

    Args:
        channels: width C.
        heads: number of heads.
        window_size: side M of the window.
        shifted: whether windows are shifted by half their side.
        compress_ratio: of the convolutional branch.
        squeeze_factor: of the convolutional branch.
        conv_scale: weight of the convolutional branch, alpha in eq. (2).
        mlp_ratio: width inside the feed-forward part, divided by C.
        qkv_bias: as in :class:`WindowAttention`.
        qk_scale: as in :class:`WindowAttention`.
        drop: dropout of the attention's and the feed-forward part's results.
        attn_drop: dropout of attention weights.
        drop_path: probability of leaving out the attention, and the feed-forward part, of a sample; never the
            convolutional branch, as in the official code.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window_size: int,
        shifted: bool = False,
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = 0.01,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.window_size = window_size
        self.shifted = shifted
        self.conv_scale = conv_scale
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, window_size, heads, qkv_bias, qk_scale, attn_drop, drop)
        self.conv_block = CAB(channels, compress_ratio, squeeze_factor)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio), drop)

    def forward(
        self, tokens: Tensor, size: tuple[int, int], index: Tensor, shift: ShiftedOrder, masks: Tensor
    ) -> Tensor:
        """Compute the block.

        Args:
            tokens: (B, H*W, C).
            size: (H, W), multiples of M.
            index: (M*M, M*M), rows of the bias table.
            shift: the tokens of shifted windows.
            masks: (4, M*M, M*M), for the kinds of ``shift``; the first is zero.

        Returns:
            (B, H*W, C).
        """
        normed = self.norm1(tokens)
        maps = normed.unflatten(1, size)  # (B, H, W, C)
        attended = self.attend(maps, index, shift, masks).view_as(tokens)
        conv = self.conv_block(maps.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
        return self.join(tokens, attended, conv)

    def join(self, tokens: Tensor, attended: Tensor, conv: Tensor) -> Tensor:
        """Add both branches' results to the tokens, then the feed-forward part's; all (B, ..., C)."""
        tokens = torch.add(tokens + self.drop_path(attended), conv, alpha=self.conv_scale)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def attend(self, maps: Tensor, index: Tensor, shift: ShiftedOrder | None, masks: Tensor) -> Tensor:
        """Attend in the windows of normalised maps: (B, H, W, C) to the same; only shifted ones need ``shift``."""
        if not self.shifted:
            windows = partition(maps, self.window_size)
            windows = self.attn(windows, index, [(len(windows), None)])
            return merge(windows, self.window_size, *maps.shape[1:3])
        windows = maps.flatten(0, 2)[shift.order].unflatten(0, (-1, self.window_size**2))
        kinds = list(zip(shift.counts, (None, *masks[1:]), strict=True))
        return self.attn(windows, index, kinds).flatten(0, 1)[shift.inverse].view_as(maps)
