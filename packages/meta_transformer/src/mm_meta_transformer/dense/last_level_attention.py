"""The neck before HTC++'s feature pyramid: one pre-norm transformer block over the coarsest map.

Source: ``ExtraAttention`` of invictus717/MetaTransformer @ b08a2be, Image/detection (Apache-2.0), whose parameter names
are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.dense.plain_vit import Attention, Mlp
from mmrepro.dense.token_levels import to_map, to_tokens


@MODELS.register_module()
class LastLevelAttention(BaseModule):
    """Attention among all places of the last map, a feed-forward part, and a norm; the other maps stay as they are.

    Args:
        in_channels: channels C of the last map.
        num_heads: heads of the attention.
        ffn_ratio: width inside the feed-forward part, divided by C.
        drop_path: probability of leaving a branch out for a sample in training.
        with_cp: in training compute the block again in the backward pass instead of keeping its activations.
        init_cfg: as in every mmengine model.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int,
        ffn_ratio: float = 4.0,
        drop_path: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(in_channels)
        self.attn = Attention(in_channels, num_heads)
        self.norm2 = nn.LayerNorm(in_channels)
        self.ffn = Mlp(in_channels, int(in_channels * ffn_ratio))
        self.final_norm = nn.LayerNorm(in_channels)
        self.drop_path = DropPath(drop_path)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the maps (B, C_l, H_l, W_l), the last one attended."""
        *finer, last = maps
        if self.with_cp and self.training and torch.is_grad_enabled():
            last = checkpoint(self._attended, last, use_reentrant=False)
        else:
            last = self._attended(last)
        return (*finer, last)

    def _attended(self, last: Tensor) -> Tensor:
        height, width = last.shape[2:]
        tokens = to_tokens(last)
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        tokens = tokens + self.drop_path(self.ffn(self.norm2(tokens)))
        return to_map(self.final_norm(tokens), height, width)
