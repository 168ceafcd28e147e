"""Softmax attention between variate tokens.

Paper: iTransformer (arXiv 2310.06625), section 3.2. Official code: thuml/iTransformer @ c2426e6,
layers/SelfAttention_Family.py (``FullAttention`` inside ``AttentionLayer``). Changed here: one fused projection for
queries, keys and values; ``scaled_dot_product_attention`` where nobody asks for the map; and, since dropout leaves that
no fused kernel on the CPU, a way of our own there that never holds the weights of more than a few heads.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmrepro.ops.cpu_layers import Linear, keep_mask
from mmrepro.ops.onednn import is_fast, product

# Attention weights computed at once on the CPU: 2**20 are 4 MiB, which the processor's cache holds.
WEIGHTS_AT_ONCE = 2**20
# PyTorch's softmax over rows shorter than this takes five times as long as its parts one by one.
SHORT_ROW = 32


def fused_linear(in_features: int, out_features: int, parts: int) -> nn.Linear:
    """Return one linear layer ``in -> parts * out`` that starts as ``parts`` separate layers, drawn one after another.

    The random stream is then the one of the official code, which has a layer for each of query, key and value.
    """
    separate = [nn.Linear(in_features, out_features) for _ in range(parts)]
    fused = nn.utils.skip_init(Linear, in_features, parts * out_features, device=separate[0].weight.device)
    with torch.no_grad():
        fused.weight.copy_(torch.cat([layer.weight for layer in separate]))
        fused.bias.copy_(torch.cat([layer.bias for layer in separate]))
    return fused


@MODELS.register_module()
class FullAttention(nn.Module):
    """Every token attends to every token.

    Args:
        d_model: width of a token.
        n_heads: number of heads. A head is ``d_model // n_heads`` wide, so the inner width is below ``d_model`` where
            the division leaves a rest, as in the official code; a warning says so.
        dropout: probability that an attention weight is dropped in training.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.1):
        super().__init__()
        if d_model < n_heads:
            raise ValueError(f"d_model={d_model} is smaller than n_heads={n_heads}: a head would have no width")
        self.n_heads = n_heads
        self.dropout = dropout
        inner = d_model // n_heads * n_heads
        if inner < d_model:
            warnings.warn(
                f"d_model={d_model} is no multiple of n_heads={n_heads}: the heads are {inner // n_heads} wide, "
                f"{inner} together. For a new model choose a multiple",
                stacklevel=2,
            )
        self.qkv = fused_linear(d_model, inner, parts=3)
        self.proj = Linear(inner, d_model)

    def forward(self, tokens: Tensor, need_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """Mix ``tokens`` (B, N, C).

        Returns:
            The mixed tokens (B, N, C), and with ``need_map`` the attention weights (B, h, N, N), else None.
        """
        qkv = self.qkv(tokens)
        dropout = self.dropout if self.training else 0.0
        if 0 < dropout < 1 and not need_map and is_fast(qkv):
            return self.proj(dropped_attention(qkv, self.n_heads, dropout)), None
        # (B, N, 3*h*d) -> (3, B, h, N, d)
        q, k, v = qkv.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = None
        if need_map:
            weights = F.dropout(((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1), dropout)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        # (B, h, N, d) -> (B, N, h*d)
        return self.proj(mixed.transpose(1, 2).flatten(2)), weights


def dropped_attention(qkv: Tensor, n_heads: int, dropout: float) -> Tensor:
    """Return softmax attention with dropout on its weights, float32 on the CPU: (B, N, 3*h*d) -> (B, N, h*d).

    Where all weights together are many, each few are computed again in the backward pass instead of being kept. There
    is no second derivative.

    Raises:
        RuntimeError: a gradient is asked for with ``create_graph=True``.
    """
    return _DroppedAttention.apply(qkv, n_heads, dropout)


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv: Tensor, n_heads: int, dropout: float) -> Tensor:
        batch, tokens, width = qkv.shape
        # (B, N, 3*h*d) -> (3, B*h, N, d)
        parts = qkv.view(batch, tokens, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
        # A copy even where a view would do, since the queries are scaled in place.
        parts = parts.clone(memory_format=torch.contiguous_format).view(3, batch * n_heads, tokens, -1)
        q, k, v = parts
        ctx.scale = q.shape[-1] ** -0.5
        q *= ctx.scale
        ctx.n_heads, ctx.dropout, ctx.groups = n_heads, dropout, _groups(len(q), tokens)
        ctx.seed = int(torch.empty((), dtype=torch.int64).random_())
        generator = torch.Generator().manual_seed(ctx.seed)
        mixed, kept = torch.empty_like(v), []
        for group in ctx.groups:
            kept = _weights(q[group], k[group], dropout, generator)
            _times(kept[0] * kept[1], v[group], out=mixed[group])
        ctx.save_for_backward(parts, *(kept if len(ctx.groups) == 1 else ()))
        # (B*h, N, d) -> (B, N, h*d)
        return mixed.view(batch, n_heads, tokens, -1).transpose(1, 2).reshape(batch, tokens, width // 3)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # a second derivative would be wrong in silence
            raise RuntimeError(
                "attention with dropout has no second derivative on the CPU. Fix: set model.eval() or dropout=0"
            )
        parts, *kept = ctx.saved_tensors
        batch, tokens, width = gradient.shape
        q, k, v = parts
        # (B, N, h*d) -> (B*h, N, d)
        gradient = gradient.view(batch, tokens, ctx.n_heads, -1).transpose(1, 2).reshape(v.shape)
        gradients = torch.empty_like(parts)
        generator = torch.Generator().manual_seed(ctx.seed)
        for group in ctx.groups:
            weights, mask = kept or _weights(q[group], k[group], ctx.dropout, generator)
            _transposed_times(weights * mask, gradient[group], out=gradients[2, group])
            # Through the dropout, then through the softmax.
            scores = _times_transposed(gradient[group], v[group]).mul_(mask).mul_(weights)
            scores.addcmul_(weights, scores.sum(-1, keepdim=True), value=-1)
            _times(scores, k[group], out=gradients[0, group])
            _transposed_times(scores, q[group], out=gradients[1, group])
        gradients[0] *= ctx.scale
        # (3, B*h, N, d) -> (B, N, 3*h*d)
        gradients = gradients.view(3, batch, ctx.n_heads, tokens, -1).permute(1, 3, 0, 2, 4)
        return gradients.reshape(batch, tokens, 3 * width), None, None


def _groups(heads: int, tokens: int) -> list[slice]:
    """Return which heads to take together; one by one where that is no small product."""
    size = max(WEIGHTS_AT_ONCE // tokens**2, 1)
    return [slice(start, start + size) for start in range(0, heads, size)]


def _weights(q: Tensor, k: Tensor, dropout: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the attention weights and what dropout multiplies them by: scaled (G, N, d), (G, N, d) -> (G, N, N)."""
    scores = _times_transposed(q, k)
    if scores.shape[-1] < SHORT_ROW:
        weights = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
        weights /= weights.sum(-1, keepdim=True)
    else:
        weights = scores.softmax(-1)
    return weights, keep_mask(weights.shape, dropout, generator)


# Single matrices by oneDNN, many small ones by PyTorch, which is faster at those.


def _times_transposed(left: Tensor, right: Tensor) -> Tensor:
    """(G, M, K) and (G, N, K) -> (G, M, N)."""
    return product(left[0], right[0])[None] if len(left) == 1 else torch.bmm(left, right.transpose(1, 2))


def _times(left: Tensor, right: Tensor, out: Tensor) -> None:
    """(G, M, K) and (G, K, N) -> (G, M, N)."""
    if len(left) == 1:
        out[0] = product(left[0], right[0].t())
    else:
        torch.bmm(left, right, out=out)


def _transposed_times(left: Tensor, right: Tensor, out: Tensor) -> None:
    """(G, K, M) and (G, K, N) -> (G, M, N)."""
    if len(left) == 1:  # turned round, because oneDNN wants the larger of two transposed matrices second
        out[0] = product(right[0].t(), left[0].t()).t()
    else:
        torch.bmm(left.transpose(1, 2), right, out=out)
