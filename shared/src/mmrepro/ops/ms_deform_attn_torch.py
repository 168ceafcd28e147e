"""Multi-scale deformable attention in pure PyTorch: weighted sums of table rows instead of sampled maps.

A level's bilinear sample is a sum of four rows of `value`, so the attention of one query and head is one sum of 4 L P
weighted rows: what `embedding_bag` computes. On the CPU nothing of size samples times channels is ever stored, except
for maps of fewer pixels than a query has samples; elsewhere the backward pass stores it per chunk, for one row of each
sample at a time.

- Queries go in chunks that keep temporaries in the processor's cache; the backward pass computes them again, so that
  only the inputs are saved.
- A sample outside is no special case: its cell is the nearest 2 by 2 neighbourhood inside the map, and the hat
  ``max(0, 1 - |u|)`` of its distance ``u`` to each of the four pixels is the bilinear weight there, and zero beyond.
- The gradient of weights and locations needs one dot product per row. On the CPU they are the product of two dense
  matrices at the positions of a sparse one (`sampled_addmm`), three times faster than what `embedding_bag` has.
- The gradient of `value` is the transposed sum: sort the rows that were read, then sum, for each, what read it. That
  is deterministic, and faster than to scatter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

# Samples in a chunk, per thread on the CPU: measured on shapes of four detectors, flat from 2**15 to 2**17. PyTorch
# gives a thread no less than 2**15 elements of an elementwise operation.
CHUNK = 2**16
# Samples times channels in a chunk elsewhere: few, large kernels, and no more than 128 MiB in single precision.
ACCELERATOR_CHUNK = 2**25

_INPUTS = "Tensor value, Tensor spatial_shapes, Tensor level_start_index, Tensor locations, Tensor weights"


def attend(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum bilinear samples of feature maps, weighted by attention; see :func:`mmrepro.ops.ms_deform_attn`.

    `torch.compile` calls it as one operator.

    Results are exact for finite values. Where a map holds NaN or infinity, samples up to one pixel beyond its border,
    and samples of a location outside, can become NaN although `grid_sample` would read nothing there: they read a pixel
    inside with weight zero.

    Arguments are those of that function, checked there; both tables are int64. Whatever they say, nothing outside
    `value` is read or written.

    Returns:
        ``(B, N, h*d)`` in the data type of `value`.
    """
    return torch.ops.mmrepro.ms_deform_attn_torch(
        value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    )


@dataclass
class _Levels:
    """What each column of samples ``(h*L*P,)`` needs to know about its level; pairs are (x, y)."""

    tables: Tensor  # (3, L): start, height, width
    scale: tuple[Tensor, Tensor]  # location -> pixel; NaN for an empty level, so that no sample lies inside
    size: tuple[Tensor, Tensor]  # derivative of the pixel by the location
    last: tuple[Tensor, Tensor]  # the last pixel that has a next one; 0 if none has
    paired: tuple[Tensor, Tensor]  # 1 where a pixel can have a next one, else 0
    step: tuple[Tensor, Tensor]  # rows from a pixel to the next one; 0 if there is none
    first: Tensor  # the row of pixel (0, 0) of the column's head
    zero: Tensor


class _Axis(NamedTuple):
    """One coordinate of a chunk of samples."""

    distance: Tensor  # to the nearer pixel; in [0, 1) except beyond the border
    low: Tensor  # that pixel
    near: Tensor  # bilinear weight of that pixel
    far: Tensor  # bilinear weight of the next one


def _levels(value: Tensor, spatial_shapes: Tensor, starts: Tensor, locations: Tensor) -> _Levels:
    size, heads = value.shape[1:3]
    points = locations.size(4)
    # Every row that a level's numbers can lead to lies in the table, even if they are wrong.
    start = starts.clamp(0, size - 1)
    width = spatial_shapes[:, 1].clamp(0, size)
    height = torch.minimum(spatial_shapes[:, 0].clamp(min=0), (size - start) // width.clamp(min=1))
    height, width = height * (width > 0), width * (height > 0)
    sides = torch.stack((width, height))  # (2, L)
    paired = sides > 1
    scale = sides.to(_accumulate(value)).masked_fill(sides == 0, torch.nan)
    step = paired * torch.stack((torch.full_like(width, heads), width * heads))

    def columns(rows: Tensor) -> Tensor:  # (k, L) -> (k, h*L*P)
        return rows[:, None, :, None].expand(-1, heads, -1, points).reshape(len(rows), -1)

    floating = columns(torch.cat((scale, sides, (sides - 2).clamp(min=0), paired)).to(scale.dtype))
    index = _index_type(value, locations)
    whole = columns(torch.cat((step, (start * heads)[None])).to(index))
    head = torch.arange(heads, dtype=index, device=value.device).repeat_interleave(locations.size(3) * points)
    return _Levels(
        tables=torch.stack((start, height, width)),
        scale=(floating[0], floating[1]),
        size=(floating[2], floating[3]),
        last=(floating[4], floating[5]),
        paired=(floating[6], floating[7]),
        step=(whole[0], whole[1]),
        first=whole[2] + head,
        zero=floating.new_zeros(()),
    )


def _axis(locations: Tensor, levels: _Levels, which: int) -> _Axis:
    """Locate samples ``(C, h*L*P, 2)`` along x (0) or y (1)."""
    # -2 is a pixel from which nothing is seen.
    distance = torch.mul(locations[..., which], levels.scale[which]).sub_(0.5).nan_to_num_(nan=-2.0)
    low = distance.floor().clamp_(levels.zero, levels.last[which])
    distance.sub_(low)
    near = distance.abs().neg_().add_(1).relu_()
    far = (distance - 1).abs_()
    far = torch.sub(levels.paired[which], far, out=far).relu_()
    return _Axis(distance, low, near, far)


def _corner_rows(x: _Axis, y: _Axis, levels: _Levels) -> Iterator[Tensor]:
    """Yield the table rows of the pixels (x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), each ``(C, h*L*P)``."""
    index = levels.first.dtype
    rows = torch.addcmul(levels.first, y.low.to(index), levels.step[1]).addcmul_(x.low.to(index), levels.step[0])
    yield rows
    yield (rows := rows + levels.step[0])
    yield (rows := rows + levels.step[1])
    yield rows - levels.step[0]


def _corner_weights(x: _Axis, y: _Axis, weights: Tensor) -> Iterator[Tensor]:
    """Yield the weights of the same four pixels, each ``(C, h*L*P)``."""
    near, far = weights * y.near, weights * y.far
    yield near * x.near
    yield near * x.far
    yield far * x.far
    yield far * x.near


def _forward(value: Tensor, spatial_shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, width = value.shape
    queries, points = locations.size(1), locations.size(3) * locations.size(4)
    if not (value.numel() and weights.numel()):
        return value.new_zeros(batch, queries, heads * width)
    out = value.new_empty(batch, queries, heads * width)
    levels = _levels(value, spatial_shapes, starts, locations)
    for b in range(batch):
        table = _table(value[b])
        for chunk in _chunks(locations, width):
            x, y, chunk_weights = _samples(locations[b, chunk], weights[b, chunk], levels)
            total = None
            for rows, row_weights in zip(_corner_rows(x, y, levels), _corner_weights(x, y, chunk_weights), strict=True):
                part = _sum_rows(table, rows.view(-1, points), row_weights.view(-1, points))
                total = part if total is None else total.add_(part)
            out[b, chunk] = total.view(-1, heads * width)
    return out


def _backward(
    grad: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
    of_value: bool,
    of_samples: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights; an empty tensor stands for one not asked for."""
    arguments = (grad, value, spatial_shapes, starts, locations, weights)
    if not (value.numel() and weights.numel()):
        return tuple(one.zero_() for one in _empty_grads(*arguments, of_value, of_samples))
    # What is summed for an only image is the gradient itself, unless its type is another.
    copied = of_value and not (value.size(0) == 1 and value.dtype == _accumulate(value))
    grad_value, grad_locations, grad_weights = _empty_grads(*arguments, copied, of_samples)
    heads, width = value.shape[2:]
    levels = _levels(value, spatial_shapes, starts, locations)
    # Sorting one row per sample instead of four costs a pass over the table for each corner. That pays on the CPU where
    # the samples outnumber the cells of the maps; elsewhere it would also make the host wait for the levels' sizes.
    cells = _on_cpu(value) and weights[0, :, 0].numel() > value.size(1)
    for b in range(value.size(0)):
        table = _table(value[b])
        sums = grad[b].to(table.dtype).reshape(-1, width)  # (N*h, d)
        reads = _Reads(weights[b], levels.first.dtype, table.dtype, cells) if of_value else None
        for chunk in _chunks(locations, width):
            x, y, chunk_weights = _samples(locations[b, chunk], weights[b, chunk], levels)
            rows = list(_corner_rows(x, y, levels))
            if reads:
                reads.put(chunk, rows, _corner_weights(x, y, chunk_weights))
            if of_samples:
                chunk_sums = sums[chunk.start * heads : chunk.stop * heads]
                dots = _dots(table, rows, chunk_sums)
                into = grad_locations[b, chunk], grad_weights[b, chunk]
                _sample_grads(dots, x, y, chunk_weights, levels, into)
        if reads:
            total = reads.sum(sums, value.size(1) * heads, levels, heads).view(value.shape[1:])
            if copied:
                grad_value[b] = total
            else:
                grad_value = total[None]
    return grad_value, grad_locations, grad_weights


def _sample_grads(
    dots: list[Tensor], x: _Axis, y: _Axis, weights: Tensor, levels: _Levels, into: tuple[Tensor, Tensor]
) -> None:
    """Write a chunk's gradients of locations and weights, given the four pixels' dot products with the output's."""
    near_near, near_far, far_far, far_near = dots  # (C, h*L*P) each
    locations_into, weights_into = into
    upper = torch.addcmul(near_near * x.near, near_far, x.far)
    lower = torch.addcmul(far_near * x.near, far_far, x.far)
    sample = torch.addcmul(upper * y.near, lower, y.far)
    weights_into.copy_(sample.view(weights_into.shape))
    near, far = _slopes(y.distance, levels.paired[1])
    by_y = upper.mul_(near).addcmul_(lower, far).mul_(weights).mul_(levels.size[1])
    locations_into[..., 1] = by_y.view(weights_into.shape)
    near, far = _slopes(x.distance, levels.paired[0])
    upper = near_near.mul_(near).addcmul_(near_far, far).mul_(y.near)
    lower = far_near.mul_(near).addcmul_(far_far, far).mul_(y.far)
    by_x = upper.add_(lower).mul_(weights).mul_(levels.size[0])
    locations_into[..., 0] = by_x.view(weights_into.shape)


def _slopes(distance: Tensor, paired: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the two pixels' weights; at a kink it is that to the right, as in `grid_sample`."""
    # Written as floats: sums of four steps are several times faster than masks.
    steps = [torch.ge(distance, edge, out=torch.empty_like(distance)) for edge in (-1, 0, 1, 2)]
    near = steps[0].sub_(steps[1], alpha=2).add_(steps[2])
    far = steps[3].sub_(steps[2], alpha=2).add_(steps[1]).mul_(paired)
    return near, far


def _dots(table: Tensor, corners: list[Tensor], sums: Tensor) -> list[Tensor]:
    """Return the dot products of the rows read and the gradients ``(C*h, d)`` of the sums that read them."""
    reads = corners[0].numel()
    # A sparse matrix has no more entries than places; only with a map of a few pixels are there more reads.
    if not _on_cpu(table) or reads > len(sums) * len(table):
        return [table[rows.view(len(sums), -1)].mul_(sums[:, None]).sum(-1).view(rows.shape) for rows in corners]
    _create_first_csr_tensor()
    begins = torch.arange(0, reads + 1, reads // len(sums), dtype=corners[0].dtype)
    zeros = sums.new_zeros(reads)
    dots = []
    for rows in corners:
        # Its columns are in no order and may repeat, which the checks would refuse: each entry is its own dot product.
        size = (len(sums), len(table))
        where = torch.sparse_csr_tensor(begins, rows.view(-1), zeros, size, check_invariants=False)
        dots.append(torch.sparse.sampled_addmm(where, sums, table.t(), beta=0).values().view(rows.shape))
    return dots


@cache
def _create_first_csr_tensor() -> None:
    # The first one in a process warns that not everything is implemented for such tensors; what is used here is.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0], torch.empty(0, dtype=torch.int64), torch.empty(0), (0, 0))


class _Reads:
    """The table rows that one image's queries read, and with what weights.

    The data types of both are ``index`` and ``floating``. With ``cells`` only the first of each sample's rows is kept.
    """

    def __init__(self, weights: Tensor, index: torch.dtype, floating: torch.dtype, cells: bool) -> None:
        queries, heads, levels, points = weights.shape
        self.points, self.cells = levels * points, cells
        self.weights = weights.new_empty((4, queries, heads * levels * points), dtype=floating)
        self.rows = weights.new_empty((1 if cells else 4, *self.weights.shape[1:]), dtype=index)

    def put(self, chunk: slice, rows: list[Tensor], weights: Iterator[Tensor]) -> None:
        """Note the four corners of a chunk of queries, ``(C, h*L*P)`` each."""
        for into, one in zip(self.rows, rows, strict=False):
            into[chunk] = one
        for into, one in zip(self.weights, weights, strict=True):
            into[chunk] = one

    def sum(self, sums: Tensor, size: int, levels: _Levels, heads: int) -> Tensor:
        """Return for each of ``size`` rows the weighted sum ``(size, d)`` of the gradients of the sums that read it.

        The rows that were noted are given up.
        """
        # An image's `sums` (N*h, d) are the table now, and each row of the former table is a bag of them.
        ordered, order = self.rows.view(-1).sort()
        del self.rows
        begins = _begins(ordered, size)
        del ordered
        reader = torch.arange(len(sums), dtype=begins.dtype, device=sums.device).repeat_interleave(self.points)
        reader = reader.repeat(1 if self.cells else 4).index_select(0, order)
        if not self.cells:
            return _sum_rows(sums, reader, self.weights.view(-1).index_select(0, order), begins)
        total, tables = None, levels.tables.tolist()
        for corner, weights in enumerate(self.weights):
            part = _sum_rows(sums, reader, weights.view(-1).index_select(0, order), begins)
            total = part if total is None else _add_shifted(total, part, corner, tables, heads)
        return total


def _begins(ordered: Tensor, size: int) -> Tensor:
    """Return where each of ``size`` rows begins in an ordered list of rows, and its end: ``(size + 1,)``."""
    if not _on_cpu(ordered):  # where counting would make the host wait
        edges = torch.arange(size + 1, dtype=ordered.dtype, device=ordered.device)
        return torch.searchsorted(ordered, edges, out_int32=ordered.dtype == torch.int32)
    begins = ordered.new_zeros(size + 1)
    begins[1:] = torch.bincount(ordered, minlength=size).cumsum(0)
    return begins


def _add_shifted(total: Tensor, part: Tensor, corner: int, tables: list[list[int]], heads: int) -> Tensor:
    """Add to ``total`` what belongs to the other corners of each row's cell."""
    for start, height, width in zip(*tables, strict=True):
        shift = heads * ((corner in (1, 2)) * (width > 1) + (corner >= 2) * (height > 1) * width)
        begin, end = start * heads, (start + height * width) * heads
        total[begin + shift : end].add_(part[begin : end - shift])
    return total


def _sum_rows(table: Tensor, rows: Tensor, weights: Tensor, begins: Tensor | None = None) -> Tensor:
    """Sum weighted rows of a table ``(rows, d)`` in bags ``(bags, size)``, or in bags that begin where said."""
    return embedding_bag(
        rows, table, begins, mode="sum", per_sample_weights=weights, include_last_offset=begins is not None
    )


def _samples(locations: Tensor, weights: Tensor, levels: _Levels) -> tuple[_Axis, _Axis, Tensor]:
    """Locate a chunk's samples along x and y, and return their weights ``(C, h*L*P)`` in the type of computation."""
    dtype = levels.zero.dtype
    locations = locations.to(dtype).reshape(len(weights), -1, 2)
    return _axis(locations, levels, 0), _axis(locations, levels, 1), weights.to(dtype).reshape(len(weights), -1)


def _chunks(locations: Tensor, width: int) -> Iterator[slice]:
    """Yield slices of queries; ``width`` is that of a row."""
    samples = CHUNK * torch.get_num_threads() if _on_cpu(locations) else ACCELERATOR_CHUNK // width
    queries, step = locations.size(1), max(1, samples // locations[0, 0, ..., 0].numel())
    for start in range(0, queries, step):
        yield slice(start, min(start + step, queries))


def _table(value: Tensor) -> Tensor:
    """Turn one image's values ``(S, h, d)`` into rows ``(S*h, d)`` of the type of computation."""
    return value.to(_accumulate(value)).reshape(-1, value.size(-1))


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _accumulate(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _index_type(value: Tensor, locations: Tensor) -> torch.dtype:
    """int32 is faster; what counts are table rows and places in the list of all reads."""
    most = max(value[0, :, :, 0].numel(), 2 * locations[0].numel())
    return torch.int32 if most < 2**31 else torch.int64


def _empty_output(value: Tensor, spatial_shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(value.size(0), locations.size(1), value.size(2) * value.size(3))


def _empty_grads(
    grad: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
    of_value: bool,
    of_samples: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        value.new_empty(value.shape if of_value else 0),
        locations.new_empty(locations.shape if of_samples else 0),
        weights.new_empty(weights.shape if of_samples else 0),
    )


def _save_inputs(ctx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, _, _, locations, weights = ctx.needs_input_grad
    grads = torch.ops.mmrepro.ms_deform_attn_torch_backward(grad, *ctx.saved_tensors, value, locations or weights)
    return grads[0] if value else None, None, None, grads[1] if locations else None, grads[2] if weights else None


def _refuse(ctx, *grads: Tensor) -> None:
    raise RuntimeError("ms_deform_attn has no second derivative")


# An operator rather than an autograd.Function: `torch.compile` takes it as a whole. `custom_op` would import the
# compiler at the first call, which takes seconds.
torch.library.define("mmrepro::ms_deform_attn_torch", f"({_INPUTS}) -> Tensor")
torch.library.define(
    "mmrepro::ms_deform_attn_torch_backward",
    f"(Tensor grad, {_INPUTS}, bool of_value, bool of_samples) -> (Tensor, Tensor, Tensor)",
)
torch.library.impl("mmrepro::ms_deform_attn_torch", "CompositeExplicitAutograd", _forward)
torch.library.impl("mmrepro::ms_deform_attn_torch_backward", "CompositeExplicitAutograd", _backward)
torch.library.register_fake("mmrepro::ms_deform_attn_torch", _empty_output)
torch.library.register_fake("mmrepro::ms_deform_attn_torch_backward", _empty_grads)
torch.library.register_autograd("mmrepro::ms_deform_attn_torch", _differentiate, setup_context=_save_inputs)
torch.library.register_autograd("mmrepro::ms_deform_attn_torch_backward", _refuse)
