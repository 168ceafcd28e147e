"""The shared encoder: pre-norm transformer blocks and nothing else, for tokens of any modality (paper, section 3.3)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmrepro.ops.cpu_layers import Linear, affine

ARCHS = {
    "base": dict(embed_dims=768, depth=12, num_heads=12),
    "large": dict(embed_dims=1024, depth=24, num_heads=16),
}
_QKV = ("joint", "video", "none")


@MODELS.register_module()
class MetaTransformerEncoder(BaseModule):
    """Blocks of ``x + proj(attention(norm1(x)))`` and ``x + fc2(gelu(fc1(norm2(x))))``, as in the official files.

    There is no class token, no position table and no final norm: tokenizers bring the first two, models the last.

    Args:
        arch: ``"base"`` (768 channels, 12 blocks, 12 heads), ``"large"`` (1024, 24, 16), or a dict of
            ``embed_dims``, ``depth`` and ``num_heads``, and optionally ``mlp_ratio``, the width inside the MLPs divided
            by the channels, 4 by default.
        frozen: no parameter of the encoder is trained, and it stays in evaluation mode. Gradients still pass through it
            to the tokenizer.
        norm_eps: epsilon of the norms; the released encoder's is 1e-5.
        num_heads: another number of heads than the arch's (the official graph model has 32).
        qkv: ``"joint"``, one bias for queries, keys and values; ``"video"``, biases for queries and values alone, as
            in the official video model; ``"none"``, no bias.
        attn_drop: share of the attention weights that are dropped in training.
        drop_path: rate at which the last block's branches are skipped in training; it grows linearly from 0.
        with_cp: compute blocks again in the backward pass, which saves memory.
        init_cfg: ``dict(type="PretrainedMetaEncoder", checkpoint=...)`` or another of :mod:`.pretrained`; without it
            the weights are random.

    Raises:
        ValueError: the arch is unknown, or the channels are not a multiple of the heads.
    """

    def __init__(
        self,
        arch: str | dict[str, int | float] = "base",
        frozen: bool = True,
        norm_eps: float = 1e-5,
        num_heads: int | None = None,
        qkv: Literal["joint", "video", "none"] = "joint",
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0))
        sizes = _sizes_of(arch)
        self.embed_dims, depth = sizes["embed_dims"], sizes["depth"]
        self.num_heads = num_heads or sizes["num_heads"]
        if self.embed_dims % self.num_heads:
            raise ValueError(f"arch={arch!r}: {self.embed_dims} channels cannot be cut into {self.num_heads} heads")
        if qkv not in _QKV:
            raise ValueError(f"qkv={qkv!r} is not known. Fix: one of {', '.join(_QKV)}")
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        hidden = round(self.embed_dims * sizes.get("mlp_ratio", 4))
        self.blocks = nn.ModuleList(
            _Block(self.embed_dims, self.num_heads, hidden, norm_eps, qkv, attn_drop, rate) for rate in rates
        )
        self.frozen, self.with_cp = frozen, with_cp
        if frozen:
            self.requires_grad_(False)
            self.eval()

    def train(self, mode: bool = True) -> MetaTransformerEncoder:
        """Set the mode; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(
        self,
        tokens: Tensor,
        padding: Tensor | None = None,
        position: Tensor | None = None,
        last_only: int | slice | None = None,
    ) -> Tensor:
        """Encode tokens.

        Args:
            tokens: ``(B, N, C)``.
            padding: ``(B, N)`` bool, true where a token is padding, which no token attends to; every sample needs a
                token that is none. ``None`` where there is no padding.
            position: ``(B, N, C)`` or ``(1, N, C)``, added before every block.
            last_only: the last block is computed for these tokens alone, a number of leading ones or a slice. Keys and
                values are still those of all tokens, so the result is the same as cut afterwards.

        Returns:
            ``(B, N, C)``, or ``(B, n, C)`` for the ``n`` tokens of ``last_only``.
        """
        _check(tokens, padding, self.embed_dims)
        attended = None if padding is None else ~padding[:, None, None, :]
        wanted = slice(last_only) if isinstance(last_only, int) else last_only
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            if position is not None:
                tokens = tokens + position
            cut = wanted if number == last else None
            if self.with_cp and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, attended, cut, use_reentrant=False)
            else:
                tokens = block(tokens, attended, cut)
        return tokens


class _Block(nn.Module):
    def __init__(
        self, dims: int, num_heads: int, hidden: int, norm_eps: float, qkv: str, attn_drop: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=norm_eps)
        self.attn = _Attention(dims, num_heads, qkv, attn_drop)
        self.norm2 = nn.LayerNorm(dims, eps=norm_eps)
        self.mlp = _MLP(dims, hidden)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tokens: Tensor, attended: Tensor | None, wanted: slice | None) -> Tensor:
        branch = self.attn(self.norm1(tokens), attended, wanted)
        tokens = tokens if wanted is None else tokens[:, wanted]
        tokens = tokens + self.drop_path(branch)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class _Attention(nn.Module):
    def __init__(self, dims: int, num_heads: int, qkv: str, attn_drop: float) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, attn_drop
        if qkv == "video":
            self.q_bias = nn.Parameter(torch.zeros(dims))
            self.v_bias = nn.Parameter(torch.zeros(dims))
        self.qkv = Linear(dims, 3 * dims, bias=qkv == "joint")
        self.proj = Linear(dims, dims)

    def forward(self, tokens: Tensor, attended: Tensor | None, wanted: slice | None) -> Tensor:
        batch, _, dims = tokens.shape
        if wanted is None:
            query, key, value = self.project(tokens, slice(None)).chunk(3, -1)
        else:
            query = self.project(tokens[:, wanted], slice(dims))
            key, value = self.project(tokens, slice(dims, None)).chunk(2, -1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value))
        dropped = self.attn_drop if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attended, dropout_p=dropped)
        return self.proj(mixed.transpose(1, 2).reshape(batch, -1, dims))

    def project(self, tokens: Tensor, channels: slice) -> Tensor:
        """Return some of the channels of queries, keys and values, which stand one after the other."""
        bias = self._bias()
        return affine(tokens, self.qkv.weight[channels], None if bias is None else bias[channels])

    def _bias(self) -> Tensor | None:
        """Return the bias of queries, keys and values; a bias of the keys would change no attention weight."""
        if not hasattr(self, "q_bias"):
            return self.qkv.bias
        return torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))


class _MLP(nn.Module):
    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dims, hidden)
        self.fc2 = Linear(hidden, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


def _sizes_of(arch: str | dict[str, int | float]) -> dict[str, int | float]:
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f"arch={arch!r} is not known. Fix: one of {', '.join(ARCHS)}, or a dict of its sizes")
        return ARCHS[arch]
    needed = ARCHS["base"].keys()
    if arch.keys() - {"mlp_ratio"} != needed:
        raise ValueError(
            f"arch has {', '.join(sorted(arch))}. Fix: give it {', '.join(needed)}, optionally mlp_ratio, and no more"
        )
    return arch


def _check(tokens: Tensor, padding: Tensor | None, dims: int) -> None:
    if tokens.dim() != 3 or tokens.shape[-1] != dims:
        raise ValueError(
            f"tokens are {tuple(tokens.shape)}; the encoder reads (B, N, {dims}). "
            f"Fix: embed_dims={dims} in the tokenizer, or another arch"
        )
    if padding is not None and padding.shape != tokens.shape[:2]:
        raise ValueError(
            f"padding is {tuple(padding.shape)} for tokens of {tuple(tokens.shape)}: a tokenizer that adds class "
            "tokens adds their place to the padding, too"
        )
