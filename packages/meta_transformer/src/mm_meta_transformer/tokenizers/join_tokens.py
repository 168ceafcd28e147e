"""One sequence of the tokens of several modalities."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from mm_meta_transformer.tokenizers.tokens import Tokens


def join_tokens(
    parts: Mapping[str, Tokens], rows: Mapping[str, Tensor] | None = None, count: int | None = None
) -> Tokens:
    """Return each sample's tokens of all modalities one after the other, as the demo of the official README does.

    Nothing in a token says which modality it is of. A modality that a sample lacks is padding, which no token attends
    to. A picture and a window of two sensors' axes, in one sequence::

        >>> from mm_meta_transformer.models.encoder import MetaTransformerEncoder
        >>> from mm_meta_transformer.tokenizers.image import ImageTokenizer
        >>> from mm_meta_transformer.tokenizers.series import SeriesTokenizer
        >>> encoder = MetaTransformerEncoder(arch=dict(embed_dims=32, depth=2, num_heads=2))
        >>> picture = ImageTokenizer(embed_dims=32, img_size=8, patch_size=4, in_channels=1)(torch.rand(3, 1, 8, 8))
        >>> window = SeriesTokenizer(n_variates=2, embed_dims=32)(torch.rand(3, 5, 2))
        >>> sequence = join_tokens({"image": picture, "imu": window})
        >>> encoder(sequence.tokens, sequence.padding).shape  # a class token, 4 patches and 5 steps
        torch.Size([3, 10, 32])

    Only the last two of three samples have a window::

        >>> sequence = join_tokens({"image": picture, "imu": Tokens(window.tokens[1:], None, window.info)},
        ...                        rows={"imu": torch.tensor([1, 2])})
        >>> sequence.padding.sum(1).tolist()
        [5, 0, 0]

    Args:
        parts: by modality, the tokens ``(b, N, C)`` of the samples that have it.
        rows: by modality, which samples these are, ``(b,)``; all samples have a modality that is not named.
        count: number of samples; needed where every modality is named in ``rows``.

    Returns:
        ``(B, sum of N, C)``; ``info`` has ``spans``, by modality where its tokens are; ``content`` ``(sum of N,)``
        bool, false for class tokens; and ``position``, zeros for modalities without one, where a modality has it.

    Raises:
        ValueError: there is no modality, modalities have tokens of several widths or are of several numbers of
            samples, or one has values that bypass the encoder.
    """
    _check(parts)
    rows = rows or {}
    count = _count(parts, rows) if count is None else count
    aligned = [_aligned(part, rows.get(name), count) for name, part in parts.items()]
    ends = list(accumulate(part.tokens.shape[1] for part in aligned))
    spans = {name: slice(*span) for name, span in zip(parts, pairwise([0, *ends]), strict=True)}
    info = {"spans": spans, "content": torch.cat([_content(part) for part in aligned])}
    if any("position" in part.info for part in aligned):
        info["position"] = torch.cat([_position(part) for part in aligned], 1)
    padded = any(part.padding is not None for part in aligned)
    padding = torch.cat([_padding(part) for part in aligned], 1) if padded else None
    return Tokens(torch.cat([part.tokens for part in aligned], 1), padding, info)


def _check(parts: Mapping[str, Tokens]) -> None:
    widths = {name: part.tokens.shape[2] for name, part in parts.items()}
    if len(set(widths.values())) != 1:
        raise ValueError(f"tokens of {widths or 'no modality'} cannot be joined. Fix: one embed_dims of the tokenizers")
    if bypassing := [name for name, part in parts.items() if part.info.get("extra") is not None]:
        raise ValueError(
            f"{bypassing[0]} has values that bypass the encoder and would be lost. Fix: continuous='token' of its "
            "tokenizer"
        )


def _count(parts: Mapping[str, Tokens], rows: Mapping[str, Tensor]) -> int:
    sizes = {name: len(part.tokens) for name, part in parts.items() if name not in rows}
    if len(set(sizes.values())) != 1:
        what = f"{sizes} samples" if sizes else "rows of an unknown number of samples"
        raise ValueError(f"there are {what}. Fix: rows for what some samples lack, and count where all are named there")
    return next(iter(sizes.values()))


def _aligned(part: Tokens, rows: Tensor | None, count: int) -> Tokens:
    """Return tokens ``(B, N, C)`` of all samples, padding for those that are not in ``rows``."""
    if rows is None:
        return part
    info, padding = dict(part.info), None
    if "position" in info:
        info["position"] = _placed(_position(part), rows, count)
    if part.padding is not None or len(rows) < count:
        own = _padding(part)
        padding = own.new_ones(count, own.shape[1]).index_copy(0, rows, own)
    return Tokens(_placed(part.tokens, rows, count), padding, info)


def _placed(values: Tensor, rows: Tensor, count: int) -> Tensor:
    return values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)


def _padding(part: Tokens) -> Tensor:
    return torch.zeros_like(part.tokens[..., 0], dtype=torch.bool) if part.padding is None else part.padding


def _position(part: Tokens) -> Tensor:
    position = part.info.get("position")
    return torch.zeros_like(part.tokens) if position is None else position.expand_as(part.tokens)


def _content(part: Tokens) -> Tensor:
    """Return which places ``(N,)`` are of no class token."""
    return torch.arange(part.tokens.shape[1], device=part.tokens.device) >= part.info.get("prefix", 0)
