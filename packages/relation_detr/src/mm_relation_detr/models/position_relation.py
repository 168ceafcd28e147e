"""The position relation of Relation-DETR (arXiv 2407.11699, section 4): a bias for self-attention from pairs of boxes.

Written from a description of the official module (xiuqhou/Relation-DETR @ b485955), with its parameter names. That one
stores 64 features of each pair; here nothing of that size exists:

- The features of widths and heights are sines of differences of two boxes' angles. By the addition theorem their part
  of the bias is a product of per-box features, a matrix of N rows times one of M columns for each head.
- The features of the centres' distances exist for a few rows at a time, small enough for the processor's cache, and
  the backward pass computes them again: only the boxes are saved.
- Angles are reduced to one turn in double precision. Up to 1151 rad, they would lose three digits in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmrepro.ops.ms_deform_attn_export import is_exporting

EPS = 1e-5
COMPUTE = ("fused", "reference")
# Pairs in a chunk of rows: on the CPU their features fill two megabytes per thread; elsewhere few, large
# kernels count more.
CHUNK = 2**14
ACCELERATOR_CHUNK = 2**18


@MODELS.register_module()
class PositionRelationEmbedding(nn.Module):
    """A non-negative bias per head for each pair of a source box (the attention's query) and a target box (its key).

    The four logarithmic differences of a pair (:func:`box_relation`) become sines and cosines
    (:func:`sine_features`), which one linear map and a ReLU turn into a bias per head. Boxes get no gradient.

    Args:
        num_heads: heads H of the attention that the bias is for.
        embed_dim: features of each of the four differences, an even number.
        temperature: ratio of the highest to the lowest frequency, but for the last step of the series.
        scale: factor of the differences before they become angles.
        row_chunk: source boxes that are computed at a time; None chooses by the number of target boxes.
        compute: ``fused`` as said above, or ``reference``, the formula as it stands, which stores every feature;
            compiled and exported programs hold the latter.

    Raises:
        ValueError: ``embed_dim`` is odd, ``row_chunk`` is below 1, or ``compute`` is neither of the two.
    """

    def __init__(
        self,
        num_heads: int = 8,
        embed_dim: int = 16,
        temperature: float = 10000.0,
        scale: float = 100.0,
        row_chunk: int | None = None,
        compute: str = "fused",
    ) -> None:
        super().__init__()
        if embed_dim < 2 or embed_dim % 2:
            raise ValueError(f"embed_dim={embed_dim}: sines and cosines come in pairs, give an even number")
        if row_chunk is not None and row_chunk < 1:
            raise ValueError(f"row_chunk={row_chunk}: give 1 or more rows, or None for a choice by the number of boxes")
        if compute not in COMPUTE:
            raise ValueError(f"compute={compute!r}: there is {' and '.join(map(repr, COMPUTE))}")
        self.num_heads, self.embed_dim = num_heads, embed_dim
        self.temperature, self.scale = temperature, scale
        self.row_chunk, self.compute = row_chunk, compute
        self.pos_proj = nn.Sequential(nn.Conv2d(4 * embed_dim, num_heads, kernel_size=1), nn.ReLU())

    def init_weights(self) -> None:
        """Draw the linear map as PyTorch does by default, whatever a detector drew for its whole decoder."""
        self.pos_proj[0].reset_parameters()

    def forward(self, src: Tensor, tgt: Tensor | None = None, attn_mask: Tensor | None = None) -> Tensor:
        """Return the bias; it is computed in single precision at least, also under autocast.

        Args:
            src: boxes ``(cx, cy, w, h)`` in [0, 1], ``(B, N, 4)``.
            tgt: the same, ``(B, M, 4)``; ``src`` where it is not given.
            attn_mask: booleans ``(N, M)``, True where attention is blocked: the bias is -inf there.

        Returns:
            ``(B, H, N, M)`` in single precision, or in double precision where boxes or parameters are.

        Raises:
            ValueError: the shapes do not fit together.
            TypeError: boxes are not floating-point numbers, or ``attn_mask`` is not boolean.
        """
        tgt = src if tgt is None else tgt
        _check(src, tgt, attn_mask)
        weight, bias = self.pos_proj[0].weight.flatten(1), self.pos_proj[0].bias
        dtype = torch.promote_types(torch.promote_types(src.dtype, weight.dtype), torch.float32)
        src, tgt, weight, bias = src.detach().to(dtype), tgt.detach().to(dtype), weight.to(dtype), bias.to(dtype)
        with torch.autocast(src.device.type, enabled=False):
            if self.compute == "reference" or torch.compiler.is_compiling() or is_exporting():
                features = sine_features(box_relation(src, tgt), self.embed_dim, self.temperature, self.scale)
                relation = (features @ weight.T + bias).relu().permute(0, 3, 1, 2)  # (B, N, M, H) -> (B, H, N, M)
                return relation if attn_mask is None else relation.masked_fill(attn_mask, -math.inf)
            frequencies = _frequencies(self.embed_dim, self.temperature, self.scale, src.device)
            rows = self.row_chunk or _rows(tgt)
            return _Relation.apply(src, tgt, weight, bias, attn_mask, frequencies, rows)


def box_relation(src: Tensor, tgt: Tensor, eps: float = EPS) -> Tensor:
    """Return the logarithmic differences of each pair of boxes (equation 3): of centres by the source's size, of sizes.

    Args:
        src: boxes ``(cx, cy, w, h)``, ``(B, N, 4)``.
        tgt: ``(B, M, 4)``.
        eps: added to each size.

    Returns:
        ``(log(|x_i - x_j| / w_i + 1), the same of y and h, log(w_i / w_j), log(h_i / h_j))``, ``(B, N, M, 4)``.
    """
    src, tgt = src[:, :, None], tgt[:, None]
    sizes = src[..., 2:] + eps
    centres = torch.log((src[..., :2] - tgt[..., :2]).abs() / sizes + 1)
    return torch.cat([centres, torch.log(sizes / (tgt[..., 2:] + eps))], dim=-1)


def sine_features(values: Tensor, embed_dim: int, temperature: float, scale: float) -> Tensor:
    """Return sine and cosine of each value at falling frequencies, interleaved: ``(..., V)`` to ``(..., V*embed_dim)``.

    The angle at the even place ``2k`` is ``value * scale / temperature ** (2k / embed_dim)`` (equation 4).
    """
    frequencies = _frequencies(embed_dim, temperature, 1.0, values.device).to(values.dtype)
    angles = (values * scale)[..., None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-3)  # (..., V, embed_dim/2, 2)


def relation_of_heads(config: dict, heads: int) -> nn.Module:
    """Build a relation module for an attention of a number of heads.

    Args:
        config: of the module; ``type`` is :class:`PositionRelationEmbedding` and ``num_heads`` that of the attention
            where they are not given. A module of another type must have an attribute ``num_heads`` too.
        heads: of the attention.

    Raises:
        ValueError: ``num_heads`` is another number.
    """
    relation = MODELS.build({"type": PositionRelationEmbedding, "num_heads": heads, **config})
    if relation.num_heads != heads:
        raise ValueError(
            f"position_relation has num_heads={relation.num_heads}, the decoder's self-attention has {heads}: leave "
            "num_heads out of position_relation"
        )
    return relation


class _Boxes(NamedTuple):
    """An image's boxes, as chunks of rows need them; K is the number of frequencies."""

    src: Tensor  # (4, N) in double precision
    tgt: Tensor  # (4, M) in double precision
    source_sizes: Tensor  # (N, 4K): sines, then cosines, of the angles of w and h
    target_sizes: Tensor  # (M, 4K)


class _Weights(NamedTuple):
    """The linear map in parts; K is the number of frequencies."""

    centres: Tensor  # (H, 4K): for x, then y, the weights of sines and of cosines
    size_sines: Tensor  # (H, 2K): of w, then of h
    size_cosines: Tensor
    bias: Tensor  # (H, 1, 1)


class _Scratch:
    """Memory that the chunks share: taken anew for each, the system would hand it out page by page.

    Args:
        weights: the linear map, for its sizes and data type.
        pairs: the most that a chunk has.
    """

    def __init__(self, weights: _Weights, pairs: int) -> None:
        centres = weights.centres
        self.heads, self.frequencies = centres.size(0), centres.size(1) // 4
        self._distances = centres.new_empty(2 * pairs, dtype=torch.float64)
        self._turns = centres.new_empty(2 * self.frequencies * pairs, dtype=torch.float64)
        self._features = centres.new_empty(4 * self.frequencies * pairs)
        self._logits = centres.new_empty(self.heads * pairs)

    def views(self, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return distances ``(2, R, C)``, turns ``(2, K, R*C)``, features ``(2, 2, K, R*C)``, logits ``(H, R, C)``."""
        pairs, frequencies = rows * columns, self.frequencies
        return (
            self._distances[: 2 * pairs].view(2, rows, columns),
            self._turns[: 2 * frequencies * pairs].view(2, frequencies, pairs),
            self._features[: 4 * frequencies * pairs].view(2, 2, frequencies, pairs),
            self._logits[: self.heads * pairs].view(self.heads, rows, columns),
        )


class _Relation(torch.autograd.Function):
    """The bias in chunks of rows; only the linear map gets gradients, for which the chunks are computed again."""

    @staticmethod
    def forward(
        ctx,
        src: Tensor,
        tgt: Tensor,
        weight: Tensor,
        bias: Tensor,
        attn_mask: Tensor | None,
        frequencies: Tensor,
        rows: int,
    ) -> Tensor:
        ctx.save_for_backward(src, tgt, weight, bias, attn_mask, frequencies)
        ctx.rows = rows
        weights = _split(weight, bias)
        relation = src.new_empty(src.size(0), weight.size(0), src.size(1), tgt.size(1))
        chunks = _chunks(src, tgt, attn_mask, rows)
        scratch = _Scratch(weights, min(rows, src.size(1)) * tgt.size(1))
        for image, into in enumerate(relation):
            boxes = _boxes(src[image], tgt[image], frequencies)
            targets = _target_map(boxes, weights)
            for chunk, columns in chunks:
                logits, _ = _logits(boxes, weights, targets, frequencies, chunk, columns, scratch)
                into[:, chunk, columns] = logits.relu_()
        return relation if attn_mask is None else relation.masked_fill_(attn_mask, -math.inf)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        src, tgt, weight, bias, attn_mask, frequencies = ctx.saved_tensors
        weights = _split(weight, bias)
        by_weights = _Weights(*map(torch.zeros_like, weights))
        chunks = _chunks(src, tgt, attn_mask, ctx.rows)
        scratch = _Scratch(weights, min(ctx.rows, src.size(1)) * tgt.size(1))
        with torch.autocast(grad.device.type, enabled=False):  # the caller's, which the forward pass has left as well
            for image, of_image in enumerate(grad):
                boxes = _boxes(src[image], tgt[image], frequencies)
                targets = _target_map(boxes, weights)
                for chunk, columns in chunks:
                    logits, features = _logits(boxes, weights, targets, frequencies, chunk, columns, scratch)
                    by_logits = logits.gt_(0.0).mul_(of_image[:, chunk, columns])
                    if attn_mask is not None:
                        by_logits.masked_fill_(attn_mask[chunk, columns], 0.0)
                    by_weights.bias.add_(by_logits.sum((1, 2), keepdim=True))
                    by_weights.centres.addmm_(by_logits.flatten(1), features.T)
                    by_sources = by_logits.flatten(0, 1) @ boxes.target_sizes[columns]  # (H*R, 4K)
                    _add_size_gradients(by_weights, by_sources, boxes.source_sizes[chunk])
        return None, None, _join(by_weights), by_weights.bias.flatten(), None, None, None


def _logits(
    boxes: _Boxes,
    weights: _Weights,
    targets: Tensor,
    frequencies: Tensor,
    chunk: slice,
    columns: slice,
    scratch: _Scratch,
) -> tuple[Tensor, Tensor]:
    """Return the bias of a chunk before its ReLU, ``(H, R, C)``, and its features of centres, ``(4K, R*C)``.

    Both are parts of ``scratch``.
    """
    src, tgt = boxes.src[:, chunk], boxes.tgt[:, columns]
    distances, turns, features, logits = scratch.views(src.size(1), tgt.size(1))
    torch.sub(src[:2, :, None], tgt[:2, None], out=distances)
    distances.abs_().div_(src[2:, :, None] + EPS).log1p_()
    torch.mul(distances.flatten(1)[:, None], frequencies[:, None] / (2 * math.pi), out=turns)
    sines, cosines = features.unbind(1)
    angles = cosines.copy_(turns.frac_()).mul_(2 * math.pi)
    torch.sin(angles, out=sines)
    torch.cos(angles, out=cosines)
    features = features.flatten(0, 2)
    source_sizes = boxes.source_sizes[chunk].expand(scratch.heads, -1, -1)
    torch.baddbmm(weights.bias, source_sizes, targets[..., columns], out=logits)
    logits.view(scratch.heads, -1).addmm_(weights.centres, features)
    return logits, features


def _boxes(src: Tensor, tgt: Tensor, frequencies: Tensor) -> _Boxes:
    """Prepare an image's boxes, ``(N, 4)`` and ``(M, 4)``."""
    return _Boxes(src.T.double(), tgt.T.double(), _size_features(src, frequencies), _size_features(tgt, frequencies))


def _size_features(boxes: Tensor, frequencies: Tensor) -> Tensor:
    """Return the sines, then the cosines, of the angles of each box's w and h, ``(N, 4)`` to ``(N, 4K)``."""
    angles = ((boxes[:, 2:].double() + EPS).log()[..., None] * frequencies).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(boxes.dtype)


def _target_map(boxes: _Boxes, weights: _Weights) -> Tensor:
    """Return what each head multiplies the source boxes' sines and cosines with, ``(H, 4K, M)``.

    From ``sin(a - b) = sin a cos b - cos a sin b`` and ``cos(a - b) = cos a cos b + sin a sin b``.
    """
    sines, cosines = boxes.target_sizes.T.chunk(2)  # (2K, M) each
    of_sines, of_cosines = weights.size_sines[..., None], weights.size_cosines[..., None]  # (H, 2K, 1)
    return torch.cat([of_sines * cosines + of_cosines * sines, of_cosines * cosines - of_sines * sines], dim=1)


def _add_size_gradients(by_weights: _Weights, by_sources: Tensor, source_sizes: Tensor) -> None:
    """Add the gradients of the weights of sizes, with the theorem of :func:`_target_map`.

    Args:
        by_weights: where to add them.
        by_sources: the gradients of a chunk's bias, summed over columns with the target boxes' sines and cosines as
            weights, ``(H*R, 4K)``.
        source_sizes: the source boxes' sines and cosines, ``(R, 4K)``.
    """
    sines, cosines = source_sizes.chunk(2, dim=1)
    with_sines, with_cosines = by_sources.view(-1, *source_sizes.shape).chunk(2, dim=2)  # (H, R, 2K) each
    by_weights.size_sines.add_((sines * with_cosines - cosines * with_sines).sum(1))
    by_weights.size_cosines.add_((cosines * with_cosines + sines * with_sines).sum(1))


def _split(weight: Tensor, bias: Tensor) -> _Weights:
    """Take the linear map apart; its columns are (difference, frequency, sine or cosine)."""
    parts = weight.view(len(weight), 4, -1, 2)
    centres = parts[:, :2].transpose(2, 3).flatten(1)  # (H, 2, K, 2) -> (H, 2, 2, K) -> (H, 4K)
    size_sines, size_cosines = (part.flatten(1) for part in parts[:, 2:].unbind(-1))
    return _Weights(centres, size_sines, size_cosines, bias[:, None, None])


def _join(weights: _Weights) -> Tensor:
    """Put the linear map together again, ``(H, 8K)``: the inverse of :func:`_split`."""
    heads = len(weights.centres)
    centres = weights.centres.view(heads, 2, 2, -1).transpose(2, 3)
    sizes = torch.stack([weights.size_sines, weights.size_cosines], dim=-1).view(heads, 2, -1, 2)
    return torch.cat([centres, sizes], dim=1).flatten(1)


def _chunks(src: Tensor, tgt: Tensor, attn_mask: Tensor | None, rows: int) -> list[tuple[slice, slice]]:
    """Return chunks of rows, each with the columns from the first to the last that is not blocked for all its rows."""
    return list(_bounded(src.size(1), tgt.size(1), attn_mask, rows))


def _bounded(sources: int, targets: int, attn_mask: Tensor | None, rows: int) -> Iterator[tuple[slice, slice]]:
    starts = range(0, sources, rows)
    # An accelerator would be waited for to save a sixth of the columns.
    if attn_mask is None or attn_mask.device.type != "cpu":
        for start in starts:
            yield slice(start, start + rows), slice(None)
        return
    for start in starts:
        free = (~attn_mask[start : start + rows]).any(0).nonzero()
        if len(free):
            yield slice(start, start + rows), slice(int(free[0]), int(free[-1]) + 1)


def _rows(tgt: Tensor) -> int:
    pairs = CHUNK * torch.get_num_threads() if tgt.device.type == "cpu" else ACCELERATOR_CHUNK
    return max(1, pairs // max(1, tgt.size(1)))


def _frequencies(embed_dim: int, temperature: float, scale: float, device: torch.device) -> Tensor:
    """Return the falling frequencies in double precision, ``(embed_dim/2,)``."""
    exponents = torch.arange(0, embed_dim, 2, dtype=torch.float64, device=device) / embed_dim
    return scale / temperature**exponents


def _check(src: Tensor, tgt: Tensor, attn_mask: Tensor | None) -> None:
    for name, boxes in (("src", src), ("tgt", tgt)):
        if boxes.dim() != 3 or boxes.size(2) != 4:
            raise ValueError(f"{name} must be boxes (cx, cy, w, h) of shape (B, N, 4), it is {tuple(boxes.shape)}")
        if not boxes.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers in [0, 1], it is {boxes.dtype}")
    if len(src) != len(tgt):
        raise ValueError(f"src has {len(src)} images, tgt has {len(tgt)}: give boxes of the same images")
    if attn_mask is None:
        return
    if attn_mask.dtype != torch.bool:
        raise TypeError(f"attn_mask must be boolean, True where attention is blocked, it is {attn_mask.dtype}")
    if attn_mask.shape != (src.size(1), tgt.size(1)):
        raise ValueError(
            f"attn_mask must be (N, M) = {(src.size(1), tgt.size(1))} as src and tgt are, it is "
            f"{tuple(attn_mask.shape)}"
        )
