"""Softmax attention for the few queries that need it: the attention of Informer and iInformer.

Papers: Informer (arXiv 2012.07436), iTransformer (arXiv 2310.06625), section 4.2. Official code: thuml/iTransformer
@ c2426e6, layers/SelfAttention_Family.py (``ProbAttention``). Changed here: no axis is squeezed by accident, the
queries are chosen without a gradient's graph, one token works, and the layout of the heads can be mended.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.attention import FullAttention

HEAD_LAYOUTS = ("reference", "fixed")


def prob_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    factor: int,
    index: Tensor | None = None,
    causal: bool = False,
    need_map: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Give the queries whose scores stand out softmax attention, and all others the mean of the values.

    ``factor * ceil(ln M)`` keys are drawn for each query, the same in all windows and heads, from torch's global
    generator, in evaluation too. ``torch.manual_seed`` before the call makes it repeatable.

    Args:
        q: queries (B, h, N, d).
        k: keys (B, h, M, d).
        v: values (B, h, M, d).
        factor: how many keys are drawn and how many queries are active, in units of the logarithm of their number.
        index: the keys drawn for each query (N, n), instead of drawing them.
        causal: a query attends only to keys up to its own place, and the mean of the others runs that far; needs N = M.
        need_map: whether to return the map.

    Returns:
        One mixed value per query (B, h, N, d), and with ``need_map`` the weights (B, h, N, M), else None. Rows of
        queries that are not active say 1/M there, as in the official code.
    """
    n_queries, n_keys, width = q.shape[2], k.shape[2], q.shape[3]
    if causal and n_queries != n_keys:
        raise ValueError(f"causal attention needs as many queries as keys, not {n_queries} and {n_keys}")
    if index is None:
        index = torch.randint(n_keys, (n_queries, _logarithmic(factor, n_keys)), device=q.device)
    active = _standing_out(q.detach(), k.detach(), index, _logarithmic(factor, n_queries))  # (B, h, u)
    rows = active.unsqueeze(-1)
    chosen = q.gather(2, rows.expand(-1, -1, -1, width))
    scores = (chosen * width**-0.5) @ k.transpose(2, 3)  # (B, h, u, M)
    if causal:
        scores = scores.masked_fill(torch.arange(n_keys, device=q.device) > rows, -torch.inf)
    weights = scores.softmax(-1)
    context = v.cumsum(2) if causal else v.mean(2, keepdim=True).expand(-1, -1, n_queries, -1)
    context = context.scatter(2, rows.expand(-1, -1, -1, width), (weights @ v).to(context.dtype))
    if not need_map:
        return context, None
    spread = weights.new_full((*q.shape[:3], n_keys), 1 / n_keys)
    return context, spread.scatter(2, rows.expand(-1, -1, -1, n_keys), weights)


def _logarithmic(factor: int, count: int) -> int:
    """Return ``factor * ceil(ln count)``, at least 1 and at most all."""
    return min(max(factor * math.ceil(math.log(count)), 1), count)


@torch.no_grad()
def _standing_out(q: Tensor, k: Tensor, index: Tensor, count: int) -> Tensor:
    """Return the ``count`` queries (B, h, count) whose largest sampled score is furthest above the others."""
    if index.shape[1] * k.shape[3] < k.shape[2]:  # then the drawn keys are fewer numbers than all the scores
        sampled = torch.einsum("bhnd,bhnud->bhnu", q, k[:, :, index])
    else:
        sampled = (q @ k.transpose(2, 3)).gather(3, index.expand(*q.shape[:2], -1, -1))
    # The official code divides by the number of keys, not by how many were drawn.
    measure = sampled.amax(-1) - sampled.sum(-1) / k.shape[2]
    return measure.topk(count, sorted=False).indices


def merge_heads(context: Tensor, head_layout: Literal["reference", "fixed"]) -> Tensor:
    """Put the heads' results (B, h, N, d) side by side (B, N, h*d).

    Args:
        context: what attention returned.
        head_layout: ``fixed`` gives each token its own heads. ``reference`` does what the official code does, which
            forgets to move the axis of the heads (zhouhaoyi/Informer2020, issue 100): each row mixes several tokens.
    """
    if head_layout == "fixed":
        return context.transpose(1, 2).flatten(2)
    return context.reshape(context.shape[0], context.shape[2], -1)


@MODELS.register_module()
class ProbSparseAttention(FullAttention):
    """ProbSparse attention with the projections of :class:`FullAttention`.

    Args:
        d_model, n_heads: see :class:`FullAttention`.
        dropout: not used, as in the official code; every attention takes it.
        factor: see :func:`prob_sparse_attention`.
        head_layout: see :func:`merge_heads`. Trained weights belong to one of the two.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dropout: float = 0.1,
        factor: int = 1,
        head_layout: Literal["reference", "fixed"] = "reference",
    ):
        super().__init__(d_model, n_heads, dropout)
        if factor < 1:
            raise ValueError(f"factor={factor} is not positive")
        if head_layout not in HEAD_LAYOUTS:
            raise ValueError(f"head_layout={head_layout!r} is not one of {HEAD_LAYOUTS}")
        self.factor = factor
        self.head_layout = head_layout

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """Mix ``tokens`` (B, N, C).

        Returns:
            The mixed tokens (B, N, C), and with ``need_map`` the attention weights (B, h, N, N), else None.
        """
        # (B, N, 3*h*d) -> (3, B, h, N, d)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        context, weights = prob_sparse_attention(q, k, v, self.factor, need_map=need_map)
        return self.proj(merge_heads(context, self.head_layout)), weights
