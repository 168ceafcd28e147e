"""Informer's attention in the decoder, and which attention the decoder has.

Official code: thuml/iTransformer @ c2426e6, layers/SelfAttention_Family.py (``AttentionLayer`` around ``FullAttention``
or ``ProbAttention``). The encoder attends within one sequence, as the inverted models do, and uses their modules.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor

from mm_itransformer.models.prob_sparse_attention import merge_heads, prob_sparse_attention
from mmrepro.forecasting.cross_attention import CrossAttention


class ProbSparseCrossAttention(CrossAttention):
    """Informer's: softmax attention for the few queries that need it.

    Args:
        d_model, n_heads, causal: see :class:`CrossAttention`.
        dropout: not used, as in the official code.
        factor, head_layout: see :class:`ProbSparseAttention`.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float,
        causal: bool,
        factor: int = 1,
        head_layout: Literal["reference", "fixed"] = "reference",
    ):
        super().__init__(d_model, n_heads, dropout, causal)
        self.factor = factor
        self.head_layout = head_layout

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the heads' results side by side (B, N, h*d) for q (B, h, N, d), k and v (B, h, M, d)."""
        context, _ = prob_sparse_attention(q, k, v, self.factor, causal=self.causal)
        return merge_heads(context, self.head_layout)


def decoder_attention(attention: dict) -> Callable[..., CrossAttention]:
    """Return what makes a decoder's attention beside an encoder's.

    Args:
        attention: the encoder's, with all its arguments. Only ``ProbSparseAttention`` is the decoder's too; beside the
            others it has full attention, as in the official code.
    """
    if attention["type"] != "ProbSparseAttention":
        return CrossAttention
    return partial(ProbSparseCrossAttention, **{key: attention[key] for key in attention if key != "type"})
