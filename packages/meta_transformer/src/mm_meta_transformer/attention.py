"""What a forward pass shows on demand: the tokens that the encoder reads, and the attention of one of its blocks.

Nothing of it costs a pass that nobody looks at: the blocks' attention is fused, which never makes the weights, so they
are computed once more from what a hook kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mm_meta_transformer.models.meta_graph import MetaTransformerGraphRegressor
from mm_meta_transformer.models.meta_points import MetaTransformerPointSeg
from mm_meta_transformer.models.pooling import needed_tokens
from mm_meta_transformer.tokenizers.tokens import Tokens
from mmrepro.engine.errors import UserError


@dataclass
class EncoderRecord:
    """What the first pass through an encoder left.

    Attributes:
        tokens: what the tokenizer made.
        inputs: the tokens ``(B, N, C)`` that the encoder read.
        attention: the block's module, and its arguments.
    """

    tokens: Tokens | None = None
    inputs: Tensor | None = None
    attention: tuple[nn.Module, tuple] | None = field(default=None, repr=False)

    def weights(self, first: int | None) -> Tensor:
        """Return the mean attention ``(B, heads, N)`` of the tokens that the head reads.

        Args:
            first: how many leading tokens the head reads; ``None`` for all that are neither padding nor class tokens.

        Raises:
            ValueError: nothing was recorded.
        """
        if self.attention is None or self.tokens is None:
            raise ValueError("no pass went through the encoder while it was recorded")
        module, (tokens, attended, *_) = self.attention
        prefix = self.tokens.info.get("prefix", 0)
        rows = slice(prefix, None) if first is None else slice(first)
        weights = attention_weights(module, tokens, attended, rows)
        if self.tokens.padding is None:
            return weights.mean(2)
        asking = (~self.tokens.padding[:, None, rows, None]).to(weights)
        return (weights * asking).sum(2) / asking.sum(2)


def attention_weights(module: nn.Module, tokens: Tensor, attended: Tensor | None, rows: slice) -> Tensor:
    """Return the attention weights ``(B, heads, n, N)`` of some tokens to all.

    Args:
        module: ``attn`` of a block of the :class:`.MetaTransformerEncoder`.
        tokens: what it reads, ``(B, N, C)``.
        attended: ``(B, 1, 1, N)`` bool, true for tokens that are no padding; ``None`` where there is none.
        rows: the tokens that ask.
    """
    dims = tokens.shape[-1]
    query, key = module.project(tokens[:, rows], slice(dims)), module.project(tokens, slice(dims, 2 * dims))
    query, key = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in (query, key))
    logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if attended is not None:
        logits = logits.masked_fill(~attended, -torch.inf)
    return logits.softmax(-1)


@contextmanager
def recorded(model: nn.Module, block: int = -1) -> Iterator[EncoderRecord]:
    """Keep what the first pass of a model through its encoder reads.

    Args:
        model: one with a ``tokenizer`` and an ``encoder``.
        block: the block whose attention is wanted, the last one by default.

    Raises:
        UserError: the encoder has no such block, or the model mixes the graphs of a batch, as official graph models do.
    """
    blocks = model.encoder.blocks
    if not -len(blocks) <= block < len(blocks):
        raise UserError(
            f"block={block}: the encoder has {len(blocks)} blocks. Fix: a number from 0 to {len(blocks) - 1}"
        )
    if isinstance(model, MetaTransformerGraphRegressor) and model.official_compat:
        raise UserError(
            "with official_compat the attention is between the graphs of a batch, not between a graph's tokens. "
            "Fix: a model without it"
        )
    record = EncoderRecord()

    def keep_tokens(_: nn.Module, __: tuple, made: Tokens) -> None:
        record.tokens = record.tokens or made

    def keep_inputs(_: nn.Module, given: tuple) -> None:
        record.inputs = given[0] if record.inputs is None else record.inputs

    def keep_attention(module: nn.Module, given: tuple) -> None:
        record.attention = record.attention or (module, given)

    handles = (
        model.tokenizer.register_forward_hook(keep_tokens),
        model.encoder.register_forward_pre_hook(keep_inputs),
        blocks[block].attn.register_forward_pre_hook(keep_attention),
    )
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def leading_tokens(model: nn.Module) -> int | None:
    """Return how many leading tokens a model's head reads, ``None`` where it reads the content's as well."""
    if isinstance(model, MetaTransformerGraphRegressor):
        return 1  # the graph's own
    if isinstance(model, MetaTransformerPointSeg):
        return None  # its pooling is of a summary beside the decoded tokens
    return needed_tokens(getattr(model, "pooling", "mean"))
