"""Attention among tokens that hash alike: the attention of Reformer and iReformer.

Papers: Reformer (arXiv 2001.04451), iTransformer (arXiv 2310.06625), section 4.2. Official code: thuml/iTransformer
@ c2426e6, layers/SelfAttention_Family.py (``ReformerLayer``) over lucidrains/reformer-pytorch 1.4.4
(``LSHSelfAttention``, shared queries and keys, not causal, duplicates allowed). Changed here: only those settings, each
round is sorted by itself with a stable sort, and the rotations are the same under autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmrepro.ops.cpu_layers import Linear

SELF = -5e4  # score of a token with itself: taken only where there is nothing else


def lsh_attention(qk: Tensor, v: Tensor, bucket_size: int, n_hashes: int, rotations: Tensor | None = None) -> Tensor:
    """Sort the tokens by hash and let each attend to its own chunk of ``bucket_size`` tokens and the one before.

    The random rotations that hash are drawn from torch's global generator in each call, in evaluation too.
    ``torch.manual_seed`` before the call makes it repeatable.

    Args:
        qk: queries, which are the keys as well (B, h, N, d). Zeros are appended up to a multiple of twice
            ``bucket_size``; nothing masks them, as in the official code.
        v: values (B, h, N, d).
        bucket_size: tokens in a chunk.
        n_hashes: how many times the tokens are hashed, each time by other rotations.
        rotations: (1, d, n_hashes, n_buckets / 2), shared by windows and heads, instead of drawing them;
            ``n_buckets`` is the padded number of tokens over ``bucket_size``.

    Returns:
        One mixed value per token (B, h, N, d).
    """
    batch, heads, n_tokens, width = qk.shape
    padding = -n_tokens % (2 * bucket_size)
    if padding:
        qk, v = F.pad(qk, (0, 0, 0, padding)), F.pad(v, (0, 0, 0, padding))
    padded = n_tokens + padding
    if rotations is None:
        rotations = torch.randn(1, width, n_hashes, padded // bucket_size // 2, device=qk.device)
    order = _hash_order(qk.detach(), rotations.to(qk.dtype)).flatten(2)  # (B, h, R*t), a token's place in each round

    rows = order.unsqueeze(-1).expand(-1, -1, -1, width)
    chunks = (batch, heads, -1, bucket_size)
    queries = qk.gather(2, rows).view(*chunks, width)
    eps = max(1e-12, torch.finfo(qk.dtype).tiny)  # float16 knows no 1e-12, and appended zeros have no length
    keys = _with_previous(F.normalize(queries, dim=-1, eps=eps))
    values = _with_previous(v.gather(2, rows).view(*chunks, width))
    places = order.view(chunks)
    scores = queries @ keys.transpose(-2, -1) * width**-0.5  # (B, h, chunks, bucket_size, 2*bucket_size)
    scores = scores.masked_fill(places.unsqueeze(-1) == _with_previous(places).unsqueeze(-2), SELF)

    # The rounds count by the sum of their exponentials, which makes them one softmax over the keys of all rounds.
    rounds = (batch, heads, n_hashes, padded)
    back = order.view(rounds).argsort()  # to the tokens' own order
    norms = scores.logsumexp(-1).view(rounds).gather(3, back).logsumexp(2)
    weights = (scores - norms.gather(2, order).view(chunks).unsqueeze(-1)).exp()
    mixed = (weights @ values).view(*rounds, width)
    return mixed.gather(3, back[..., :n_tokens].unsqueeze(-1).expand(-1, -1, -1, -1, width)).sum(2)


@torch.no_grad()
def _hash_order(qk: Tensor, rotations: Tensor) -> Tensor:
    """Return the tokens of ``qk`` (B, h, t, d) sorted by bucket, then by place, in each round (B, h, R, t)."""
    rotated = torch.einsum("bhtd,drn->bhrtn", qk, rotations[0])
    # Appended zeros tie in all buckets and go to the first.
    return torch.cat([rotated, -rotated], dim=-1).argmax(-1).argsort(dim=-1, stable=True)


def _with_previous(chunks: Tensor) -> Tensor:
    """Append to each chunk (B, h, chunks, bucket_size, ...) the one before; the first one's is the last of all."""
    return torch.cat([chunks, chunks.roll(1, dims=2)], dim=3)


@MODELS.register_module()
class LSHAttention(nn.Module):
    """Attention by locality-sensitive hashing, with one projection for queries and keys.

    Args:
        d_model, n_heads: see :class:`FullAttention`.
        dropout: not used, as in the official code; every attention takes it.
        bucket_size, n_hashes: see :func:`lsh_attention`.
    """

    gives_map = False

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.1, bucket_size: int = 4, n_hashes: int = 4):
        super().__init__()
        if d_model < n_heads:
            raise ValueError(f"d_model={d_model} is smaller than n_heads={n_heads}: a head would have no width")
        if bucket_size < 1 or n_hashes < 1:
            raise ValueError(f"bucket_size={bucket_size} or n_hashes={n_hashes} is not positive")
        self.n_heads = n_heads
        self.bucket_size = bucket_size
        self.n_hashes = n_hashes
        inner = d_model // n_heads * n_heads
        self.qk = Linear(d_model, inner, bias=False)
        self.v = Linear(d_model, inner, bias=False)
        self.proj = Linear(inner, d_model)

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, None]:
        """Mix ``tokens`` (B, N, C); there is no map of all pairs, so None stands in its place."""
        # (B, N, h*d) -> (B, h, N, d)
        qk, v = (linear(tokens).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for linear in (self.qk, self.v))
        mixed = lsh_attention(qk, v, self.bucket_size, self.n_hashes)
        return self.proj(mixed.transpose(1, 2).flatten(2)), None
