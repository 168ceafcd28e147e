"""The depth predictor: from the relative depth of a frozen model to metric depth and its tokens (arXiv 2502.00315).

Source: JihyeokKim/MonoDINO-DETR @ 65004cc. Metric depth is the expected value of a distribution over depth bins; the
tokens are what the decoder's depth attention reads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mm_monodino_detr.models.depth_bins import depth_bin_values
from mmrepro.engine.without_autocast import without_autocast


class DepthPrediction(NamedTuple):
    """What the predictor says of every place of its map."""

    logits: Tensor  # of the bins and of background, (B, bins + 1, h, w)
    weighted: Tensor  # expected depth in metres, (B, h, w)
    tokens: Tensor  # row by row, (B, h w, C)


class DepthEncoderLayer(BaseModule):
    """A post-norm transformer layer; positions are added to queries and keys.

    mmcv's attention stores and averages the attention weights of all heads, which are not needed here.

    Args:
        embed_dims: C.
        num_heads: heads.
        feedforward_channels: width of the feed-forward network.
        dropout: of attention weights, attention's output and the feed-forward network.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norm2 = nn.LayerNorm(embed_dims)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the tokens after the layer, ``(B, N, C)``.

        Args:
            tokens: ``(B, N, C)``.
            positions: ``(B, N, C)`` or ``(1, N, C)``.
        """
        positioned = tokens + positions
        attended, _ = self.self_attn(positioned, positioned, tokens, need_weights=False)
        return self.norm2(self.ffn(self.norm1(tokens + self.dropout(attended))))


@MODELS.register_module()
class DepthPredictor(BaseModule):
    """Predicts bins of metric depth, and tokens that know of it.

    Args:
        num_depth_bins: bins; one more index stands for background.
        depth_min, depth_max: where the bins begin and end, metres.
        embed_dims: C, channels of the tokens.
        num_heads: heads of the one transformer layer.
        feedforward_channels: width of its feed-forward network.
        dropout: of that layer.
        num_groups: of the convolutions' norms.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the bins are not such, see :func:`depth_bin_values`, or the groups do not divide C.
    """

    def __init__(
        self,
        num_depth_bins: int = 80,
        depth_min: float = 1e-3,
        depth_max: float = 60.0,
        embed_dims: int = 256,
        num_heads: int = 8,
        feedforward_channels: int = 256,
        dropout: float = 0.1,
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_groups:
            raise ValueError(
                f"embed_dims={embed_dims} of the depth predictor must be a multiple of num_groups={num_groups}. "
                "Fix: set one of the two"
            )
        self.embed_dims = embed_dims
        self.num_depth_bins, self.depth_min, self.depth_max = num_depth_bins, depth_min, depth_max
        depth_bin_values(num_depth_bins, depth_min, depth_max)  # raises here where the bins are none
        self.depth_input_proj = nn.Sequential(*_block(1, embed_dims, num_groups))
        self.depth_head = nn.Sequential(
            *(layer for _ in range(2) for layer in _block(embed_dims, embed_dims, num_groups))
        )
        self.depth_classifier = nn.Conv2d(embed_dims, num_depth_bins + 1, 1)
        self.depth_encoder = DepthEncoderLayer(embed_dims, num_heads, feedforward_channels, dropout)
        self.depth_pos_embed = nn.Embedding(int(depth_max) + 1, embed_dims)  # a row for every metre

    def forward(self, relative: Tensor, positions: Tensor) -> DepthPrediction:
        """Return what is predicted for every place of a map.

        Args:
            relative: relative inverse depth, ``(B, 1, H, W)``; at the map's own size if it was resized before.
            positions: embedding of the map's places, ``(1, C, h, w)``.
        """
        size = positions.shape[-2:]
        features = self.depth_head(self.depth_input_proj(interpolate(relative, size, mode="bilinear")))
        logits = self.depth_classifier(features)
        exact = torch.promote_types(logits.dtype, torch.float32)  # bf16 would round the depth of far bins to decimetres
        values = depth_bin_values(self.num_depth_bins, self.depth_min, self.depth_max).to(logits.device, exact)
        with without_autocast(logits):
            weighted = torch.einsum("bkhw,k->bhw", logits.softmax(1, dtype=exact), values)
        tokens = self.depth_encoder(features.flatten(2).transpose(1, 2), positions.flatten(2).transpose(1, 2))
        return DepthPrediction(logits, weighted, tokens + self.embed(weighted.flatten(1)))

    def embed(self, depths: Tensor) -> Tensor:
        """Return the embedding of depths, ``(...)`` to ``(..., C)``: linear between the rows of whole metres.

        Args:
            depths: in metres; brought into [0, depth_max].
        """
        depths = depths.clamp(0, self.depth_max)
        lower = depths.detach().floor()
        fraction = (depths - lower)[..., None]
        # A depth that is no number leads to some row and stays none, for the matching to report with the way out.
        lower, upper = (row.long().clamp(0, self.depth_pos_embed.num_embeddings - 1) for row in (lower, lower + 1))
        return self.depth_pos_embed(lower) * (1 - fraction) + self.depth_pos_embed(upper) * fraction


def _block(in_channels: int, out_channels: int, num_groups: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.GroupNorm(num_groups, out_channels), nn.ReLU()
