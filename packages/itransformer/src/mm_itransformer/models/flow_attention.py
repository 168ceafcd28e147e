"""Flow attention between variate tokens, linear in their number: the attention of Flowformer and iFlowformer.

Papers: Flowformer (arXiv 2202.06258), iTransformer (arXiv 2310.06625), section 4.2. Official code: thuml/iTransformer
@ c2426e6, layers/SelfAttention_Family.py (``FlowAttention``). Changed here: the small constant is added to the products
instead of to copies of queries and keys; one fused projection.
"""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mm_itransformer.models.attention import FullAttention

EPS = 1e-6


def flow_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let queries compete for what the keys send: no softmax over pairs, no scale, no map.

    Args:
        q: queries (B, h, N, d).
        k: keys (B, h, M, d).
        v: values (B, h, M, d).

    Returns:
        One mixed value per query (B, h, N, d).
    """
    n_queries, n_keys = q.shape[2], k.shape[2]
    q, k = q.sigmoid().contiguous(), k.sigmoid().contiguous()  # each is read in several products
    incoming = 1 / _dot(q, k.sum(2, keepdim=True))  # (B, h, N)
    outgoing = 1 / _dot(k, q.sum(2, keepdim=True))  # (B, h, M)
    # What flows in and out of each token once the other side's capacity is fixed
    conserved_in = _dot(q, (k * outgoing.unsqueeze(-1)).sum(2, keepdim=True))
    conserved_out = _dot(k, (q * incoming.unsqueeze(-1)).sum(2, keepdim=True))
    allocation = incoming * torch.sigmoid(conserved_in * (n_queries / n_keys))
    competition = conserved_out.softmax(-1) * n_keys
    mixed = q @ (k.transpose(2, 3) @ (v * competition.unsqueeze(-1)))
    return mixed * allocation.unsqueeze(-1)


def _dot(x: Tensor, total: Tensor) -> Tensor:
    """Return ``(x + eps) . (total + eps)`` of each row of ``x`` (B, h, N, d) with ``total`` (B, h, 1, d)."""
    total = total + EPS
    return (x * total).sum(-1) + EPS * total.sum(-1)


@MODELS.register_module()
class FlowAttention(FullAttention):
    """Flow attention with the projections of :class:`FullAttention`.

    Args:
        d_model, n_heads: see :class:`FullAttention`.
        dropout: not used, since there are no weights between pairs of tokens; every attention takes it.
    """

    gives_map = False

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, None]:
        """Mix ``tokens`` (B, N, C); there is no map of pairs, so None stands in its place."""
        # (B, N, 3*h*d) -> (3, B, h, N, d)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(flow_attention(q, k, v).transpose(1, 2).flatten(2)), None
