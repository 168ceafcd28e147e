"""The official position relation, written down plainly from its description: what the benchmarks measure ours against.

Every pair's four differences, then its 64 sines and cosines, then a 1x1 convolution over all pairs
(xiuqhou/Relation-DETR @ b485955: models/bricks/relation_transformer.py). Nothing of ours is imported.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-5


class PlainPositionRelation(nn.Module):
    """The module as the equations stand; boxes ``(B, N, 4)`` and ``(B, M, 4)`` to a bias ``(B, H, N, M)``."""

    def __init__(self, num_heads: int = 8, embed_dim: int = 16, temperature: float = 10000.0, scale: float = 100.0):
        super().__init__()
        self.embed_dim, self.temperature, self.scale = embed_dim, temperature, scale
        self.pos_proj = nn.Sequential(nn.Conv2d(4 * embed_dim, num_heads, 1), nn.ReLU())

    def forward(self, src: Tensor, tgt: Tensor | None = None) -> Tensor:
        tgt = src if tgt is None else tgt
        with torch.no_grad():
            angles = self.angles(differences(src, tgt))
            pairs = torch.stack((angles.sin(), angles.cos()), dim=5)  # (B, N, M, 4, embed_dim/2, 2)
            features = pairs.flatten(3).permute(0, 3, 1, 2)
        return self.pos_proj(features)

    def angles(self, relation: Tensor) -> Tensor:
        """``(B, N, M, 4)`` to ``(B, N, M, 4, embed_dim/2)``."""
        steps = torch.arange(0, self.embed_dim, 2, dtype=relation.dtype, device=relation.device)
        return (relation * self.scale)[..., None] / self.temperature ** (steps / self.embed_dim)


def differences(src: Tensor, tgt: Tensor) -> Tensor:
    """The four logarithmic differences of each pair, ``(B, N, M, 4)``."""
    xy_1, wh_1 = src[:, :, None].split(2, dim=-1)
    xy_2, wh_2 = tgt[:, None].split(2, dim=-1)
    distance = torch.log((xy_1 - xy_2).abs() / (wh_1 + EPS) + 1.0)
    ratio = torch.log((wh_1 + EPS) / (wh_2 + EPS))
    return torch.cat((distance, ratio), dim=-1)
