"""The overlapping cross-attention block (OCAB): each window looks at a larger window around it.

Paper: arXiv 2309.05239, section 3.3, eqs. (5) to (7). Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py
(Apache-2.0), whose parameter names are kept. Changed here: the larger windows are strided views, copied once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_hat.models.hybrid_attention import project, project_out
from mm_hat.models.pointwise import Mlp
from mm_hat.models.relative_position import gather_bias
from mm_hat.models.windows import attend
from mmrepro.ops.pointwise import PointwiseLinear
from mmrepro.ops.windows import merge, partition


class OCAB(nn.Module):
    """Cross-attention from M x M windows to the Mo x Mo windows around them, then the feed-forward part.

    Beyond the border of the map keys and values are zero, after their projection, and take part in the softmax: the
    official weights were trained so.

    Args:
        channels: width C.
        heads: number of heads.
        window_size: side M of the windows of queries.
        overlap_ratio: Mo = M + int(M * overlap_ratio).
        mlp_ratio: width inside the feed-forward part, divided by C.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the logits; (C / h) ** -0.5 by default.

    Raises:
        ValueError: Mo - M is odd, so that no window is in the middle of its larger window.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window_size: int,
        overlap_ratio: float = 0.5,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
    ):
        super().__init__()
        overlap = int(window_size * overlap_ratio)
        if overlap % 2 or overlap < 0:
            raise ValueError(
                f"overlap_ratio={overlap_ratio} makes windows of {window_size} larger by {overlap}, which is not an "
                "even number"
            )
        self.heads = heads
        self.window_size = window_size
        self.overlap = overlap
        self.scale = qk_scale or (channels // heads) ** -0.5
        table_rows = (2 * window_size + overlap - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(table_rows, heads))
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = PointwiseLinear(channels, 3 * channels, bias=qkv_bias)
        self.proj = PointwiseLinear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, tokens: Tensor, size: tuple[int, int], index: Tensor) -> Tensor:
        """Compute the block.

        Args:
            tokens: (B, H*W, C).
            size: (H, W), multiples of M.
            index: (M*M, Mo*Mo), rows of the bias table.

        Returns:
            (B, H*W, C).
        """
        return self.join(tokens, self.attend(self.norm1(tokens).unflatten(1, size), index).view_as(tokens))

    def join(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Add the attention's result to the tokens, then the feed-forward part's; all (B, ..., C)."""
        tokens = attended + tokens
        return tokens + self.mlp(self.norm2(tokens))

    def attend(self, maps: Tensor, index: Tensor, above: int = 0, below: int = 0) -> Tensor:
        """Attend from the windows of maps to their surroundings.

        Args:
            maps: (B, above + H + below, W, C), normalised.
            index: (M*M, Mo*Mo), rows of the bias table.
            above: how many of the rows are above the windows and only looked at, up to (Mo - M) / 2.
            below: the same below the windows.

        Returns:
            (B, H, W, C).
        """
        own, channels = maps[:, above : maps.shape[1] - below], maps.shape[3]
        size = own.shape[1:3]
        weight, bias = self.qkv.weight.split((channels, 2 * channels)), (None, None)
        if self.qkv.bias is not None:
            bias = self.qkv.bias.split((channels, 2 * channels))
        position_bias = gather_bias(self.relative_position_bias_table, index)
        query = project(partition(own, self.window_size), weight[0], bias[0], self.heads, 1).squeeze(-3)
        query = query.unflatten(0, (-1, *(side // self.window_size for side in size)))  # (B, H/M, W/M, N, h, d)
        border = self.overlap // 2
        missing = (border, border, border - above, border - below)
        key_value = F.pad(project(maps, weight[1], bias[1], self.heads, 2), (0, 0) * 3 + missing)
        # The larger windows repeat each key and value Mo^2/M^2 times. For inference a row of windows at a time does.
        rows, results = query.shape[1] if torch.is_grad_enabled() else 1, []
        for first in range(0, query.shape[1], rows):
            key, value = self._surroundings(key_value, first, rows).unbind(2)
            part = query[:, first : first + rows]
            attended = attend(part.flatten(0, 2), key, value, position_bias, self.scale)
            results.append(attended.unflatten(0, part.shape[:3]))
        attended = project_out(torch.cat(results, dim=1), self.proj, self.heads)
        return merge(attended, self.window_size, *size)

    def _surroundings(self, padded: Tensor, first: int, rows: int) -> Tensor:
        """Cut the larger windows of some rows of windows out of padded keys and values.

        Args:
            padded: (B, H + Mo - M, W + Mo - M, 2, h, d).
            first: the first row of windows.
            rows: how many of them.

        Returns:
            (B*rows*W/M, Mo*Mo, 2, h, d).
        """
        m, side = self.window_size, self.window_size + self.overlap
        strip = padded[:, first * m : (first + rows) * m + self.overlap]
        windows = strip.unfold(1, side, m).unfold(2, side, m).permute(0, 1, 2, 6, 7, 3, 4, 5)
        return windows.reshape(-1, side * side, *padded.shape[3:])
