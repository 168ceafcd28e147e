"""What all parts of the interactions between a ViT and a convolutional branch have in common: widths and rates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mmrepro.dense.conv_ffn import ConvFFN
from mmrepro.dense.level_attention import LevelDeformableAttention
from mmrepro.dense.plain_vit import NORM_EPS
from mmrepro.ops.pointwise import PointwiseLinear

LEVELS = 3  # of the convolutional branch's tokens


@dataclass(frozen=True)
class InteractionSizes:
    """What all parts of the interactions have in common.

    Attributes:
        embed_dim: width C.
        num_heads: heads of the deformable attention.
        num_points: points that a head samples in each level.
        deform_ratio: width of the attention's values, divided by C.
        cffn_ratio: width inside :class:`ConvFFN`, divided by C.
        drop_path: probability of leaving a branch out for a sample in training, the same in all interactions.
    """

    embed_dim: int
    num_heads: int = 6
    num_points: int = 4
    deform_ratio: float = 1.0
    cffn_ratio: float = 0.25
    drop_path: float = 0.0

    def attention(self, levels: int = LEVELS) -> LevelDeformableAttention:
        """Make an attention; mmcv's initialisation is the official one.

        Args:
            levels: of the values that it samples.
        """
        attention = LevelDeformableAttention(
            self.embed_dim,
            self.num_heads,
            levels,
            self.num_points,
            dropout=0.0,
            batch_first=True,
            value_proj_ratio=self.deform_ratio,
        )
        for name, layer in list(attention.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(attention, name, PointwiseLinear(layer.in_features, layer.out_features))
        attention.init_weights()
        return attention

    def ffn(self) -> ConvFFN:
        """Make a feed-forward part."""
        return ConvFFN(self.embed_dim, int(self.embed_dim * self.cffn_ratio))

    def norm(self) -> nn.LayerNorm:
        """Make a norm of tokens."""
        return nn.LayerNorm(self.embed_dim, eps=NORM_EPS)
