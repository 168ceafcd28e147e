"""Exact softmax attention that never forms its map: the attention of Flashformer and iFlashformer.

Papers: FlashAttention (arXiv 2205.14135), iTransformer (arXiv 2310.06625), section 4.2. Official code:
thuml/iTransformer @ c2426e6, layers/SelfAttention_Family.py (``FlashAttention``), a loop over tiles in Python on a
hard-coded device. Changed here: ``scaled_dot_product_attention``, which has such kernels.
"""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.attention import FullAttention


@MODELS.register_module()
class FlashAttention(FullAttention):
    """:class:`FullAttention` without dropout of its weights and without their map.

    Args:
        d_model, n_heads: see :class:`FullAttention`.
        dropout: not used, as in the official code; every attention takes it.
    """

    gives_map = False

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.1):
        super().__init__(d_model, n_heads, dropout=0.0)

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, None]:
        """Mix ``tokens`` (B, N, C); the map is never formed, so None stands in its place."""
        return super().forward(tokens)
