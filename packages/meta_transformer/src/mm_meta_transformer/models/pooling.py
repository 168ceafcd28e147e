"""From encoded tokens to one feature per sample."""

from __future__ import annotations

from torch import Tensor

POOLINGS = ("cls", "mean", "first2", "flatten")


def needed_tokens(pooling: str) -> int | None:
    """Return how many leading tokens a pooling reads, ``None`` for all: the last block skips the others."""
    return {"cls": 1, "first2": 2}.get(pooling)


def pool(tokens: Tensor, padding: Tensor | None, prefix: int, pooling: str) -> Tensor:
    """Pool encoded tokens.

    Args:
        tokens: ``(B, N, C)``; the leading ones suffice for ``"cls"`` and ``"first2"``.
        padding: ``(B, N)`` bool, true where a token is padding, or ``None``.
        prefix: number of class tokens at the start, which a mean leaves out.
        pooling: ``"cls"``, the first token; ``"mean"``, the mean of those that are neither padding nor class tokens;
            ``"first2"``, the mean of the first two (the official audio model); ``"flatten"``, all of them, one after
            the other.

    Returns:
        ``(B, C)``, or ``(B, N * C)`` for ``"flatten"``.

    Raises:
        ValueError: the pooling is unknown, or padded tokens are to be flattened.
    """
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "first2":
        return tokens[:, :2].mean(1)
    if pooling == "flatten":
        if padding is not None:
            raise ValueError("pooling='flatten' needs the same number of tokens in every sample. Fix: 'mean' or 'cls'")
        return tokens.flatten(1)
    if pooling != "mean":
        raise ValueError(f"pooling={pooling!r} is not known. Fix: one of {', '.join(POOLINGS)}")
    content = tokens[:, prefix:]
    if padding is None:
        return content.mean(1)
    kept = ~padding[:, prefix:, None]
    return content.masked_fill(~kept, 0).sum(1) / kept.sum(1).clamp(min=1)
