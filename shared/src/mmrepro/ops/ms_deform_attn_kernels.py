"""Triton kernels of deformable attention: `weigh` (forward) and `weigh_backward`.

Source: Zhu et al., Deformable DETR, arXiv:2010.04159, equation 3. Importing this module imports Triton.

A row is one head of one query; rows are counted as (b, n, h), so that locations, weights and outputs of neighbouring
rows are neighbours in memory, and a program serves BLOCK_ROWS rows with all d channels. Sums are float32 (float64 for
a float64 value).

No address depends on data that is unchecked: a sampling point outside its level (comparisons with NaN are false) and a
cell outside [0, S), which a wrong table of levels would give, are masked in every load and every atomic addition, and
coordinates become integers only after points outside were replaced by zero.
"""

import triton
import triton.language as tl

# Integers that change from image to image: specialising on them would compile the kernels again.
SIZES = ["rows", "rows_per_image", "cells"]


@triton.jit
def _locate(x, y, width, height, start, cells, live):
    """Upper left cell of the points (x, y) in pixels, their fractions, and which of the 2x2 neighbours exist."""
    inside = live & (x >= -1) & (x < width.to(x.dtype)) & (y >= -1) & (y < height.to(y.dtype))
    x = tl.where(inside, x, 0.0)
    y = tl.where(inside, y, 0.0)
    left = tl.floor(x)
    top = tl.floor(y)
    column = left.to(tl.int64)
    line = top.to(tl.int64)
    cell = start + line * width + column
    has_left = inside & (column >= 0)
    has_right = inside & (column + 1 < width)
    has_top = line >= 0
    has_bottom = line + 1 < height
    below = cell + width
    has_00 = has_left & has_top & (cell >= 0) & (cell < cells)
    has_01 = has_right & has_top & (cell + 1 >= 0) & (cell + 1 < cells)
    has_10 = has_left & has_bottom & (below >= 0) & (below < cells)
    has_11 = has_right & has_bottom & (below + 1 >= 0) & (below + 1 < cells)
    return cell, below, x - left, y - top, has_00, has_01, has_10, has_11


@triton.jit
def _load(value, first, cell, exists, channel, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    """(BLOCK_ROWS, BLOCK_WIDTH) channels of one cell per row, zero where the cell does not exist."""
    offset = first + cell * (HEADS * WIDTH)
    return tl.load(
        value + offset[:, None] + channel[None, :], mask=exists[:, None] & (channel < WIDTH)[None, :], other=0
    )


@triton.jit
def _add(grad_value, first, cell, exists, channel, grad, HEADS: tl.constexpr, WIDTH: tl.constexpr):
    """Add (BLOCK_ROWS, BLOCK_WIDTH) gradients to one cell per row; rows may share cells, hence atomically."""
    offset = first + cell * (HEADS * WIDTH)
    mask = exists[:, None] & (channel < WIDTH)[None, :]
    tl.atomic_add(grad_value + offset[:, None] + channel[None, :], grad, mask=mask, sem="relaxed")


@triton.jit(do_not_specialize=SIZES)
def weigh(
    value,
    spatial_shapes,
    level_start_index,
    locations,
    weights,
    output,
    rows,
    rows_per_image,
    cells,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
):
    """output[b, n, h] = sum over levels and points of weight x bilinear sample; grid: (ceil(B*N*h / BLOCK_ROWS),)."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    live = row < rows
    channel = tl.arange(0, BLOCK_WIDTH)
    first = (row // rows_per_image) * cells * (HEADS * WIDTH) + (row % HEADS) * WIDTH
    total = tl.zeros((BLOCK_ROWS, BLOCK_WIDTH), dtype=SUM)
    for level in range(LEVELS):
        height = tl.load(spatial_shapes + 2 * level)
        width = tl.load(spatial_shapes + 2 * level + 1)
        start = tl.load(level_start_index + level)
        for point in range(POINTS):
            tap = (row * LEVELS + level) * POINTS + point
            x = tl.load(locations + 2 * tap, mask=live, other=0).to(SUM) * width.to(SUM) - 0.5
            y = tl.load(locations + 2 * tap + 1, mask=live, other=0).to(SUM) * height.to(SUM) - 0.5
            weight = tl.load(weights + tap, mask=live, other=0).to(SUM)
            cell, below, right, down, has_00, has_01, has_10, has_11 = _locate(x, y, width, height, start, cells, live)
            upper = weight * (1 - down)
            lower = weight * down
            v_00 = _load(value, first, cell, has_00, channel, HEADS, WIDTH).to(SUM)
            v_01 = _load(value, first, cell + 1, has_01, channel, HEADS, WIDTH).to(SUM)
            v_10 = _load(value, first, below, has_10, channel, HEADS, WIDTH).to(SUM)
            v_11 = _load(value, first, below + 1, has_11, channel, HEADS, WIDTH).to(SUM)
            total += (upper * (1 - right))[:, None] * v_00 + (upper * right)[:, None] * v_01
            total += (lower * (1 - right))[:, None] * v_10 + (lower * right)[:, None] * v_11
    mask = live[:, None] & (channel < WIDTH)[None, :]
    tl.store(output + row[:, None] * WIDTH + channel[None, :], total.to(output.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=SIZES)
def weigh_backward(
    grad_output,
    value,
    spatial_shapes,
    level_start_index,
    locations,
    weights,
    grad_value,
    grad_locations,
    grad_weights,
    rows,
    rows_per_image,
    cells,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    FOR_VALUE: tl.constexpr,
    FOR_TAPS: tl.constexpr,
):
    """Gradients of `weigh`: FOR_VALUE adds to `grad_value` (zeros, of type SUM), FOR_TAPS writes the other two."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    live = row < rows
    channel = tl.arange(0, BLOCK_WIDTH)
    first = (row // rows_per_image) * cells * (HEADS * WIDTH) + (row % HEADS) * WIDTH
    mask = live[:, None] & (channel < WIDTH)[None, :]
    grad = tl.load(grad_output + row[:, None] * WIDTH + channel[None, :], mask=mask, other=0).to(SUM)
    for level in range(LEVELS):
        height = tl.load(spatial_shapes + 2 * level)
        width = tl.load(spatial_shapes + 2 * level + 1)
        start = tl.load(level_start_index + level)
        for point in range(POINTS):
            tap = (row * LEVELS + level) * POINTS + point
            x = tl.load(locations + 2 * tap, mask=live, other=0).to(SUM) * width.to(SUM) - 0.5
            y = tl.load(locations + 2 * tap + 1, mask=live, other=0).to(SUM) * height.to(SUM) - 0.5
            weight = tl.load(weights + tap, mask=live, other=0).to(SUM)
            cell, below, right, down, has_00, has_01, has_10, has_11 = _locate(x, y, width, height, start, cells, live)
            left = 1 - right
            up = 1 - down
            if FOR_VALUE:
                upper = (weight * up)[:, None] * grad
                lower = (weight * down)[:, None] * grad
                _add(grad_value, first, cell, has_00, channel, left[:, None] * upper, HEADS, WIDTH)
                _add(grad_value, first, cell + 1, has_01, channel, right[:, None] * upper, HEADS, WIDTH)
                _add(grad_value, first, below, has_10, channel, left[:, None] * lower, HEADS, WIDTH)
                _add(grad_value, first, below + 1, has_11, channel, right[:, None] * lower, HEADS, WIDTH)
            if FOR_TAPS:
                # <gradient, neighbour> over the channels: (BLOCK_ROWS,) each
                dot_00 = tl.sum(_load(value, first, cell, has_00, channel, HEADS, WIDTH).to(SUM) * grad, axis=1)
                dot_01 = tl.sum(_load(value, first, cell + 1, has_01, channel, HEADS, WIDTH).to(SUM) * grad, axis=1)
                dot_10 = tl.sum(_load(value, first, below, has_10, channel, HEADS, WIDTH).to(SUM) * grad, axis=1)
                dot_11 = tl.sum(_load(value, first, below + 1, has_11, channel, HEADS, WIDTH).to(SUM) * grad, axis=1)
                grad_weight = up * (left * dot_00 + right * dot_01) + down * (left * dot_10 + right * dot_11)
                grad_x = weight * width.to(SUM) * (up * (dot_01 - dot_00) + down * (dot_11 - dot_10))
                grad_y = weight * height.to(SUM) * (left * (dot_10 - dot_00) + right * (dot_11 - dot_01))
                tl.store(grad_weights + tap, grad_weight.to(grad_weights.dtype.element_ty), mask=live)
                tl.store(grad_locations + 2 * tap, grad_x.to(grad_locations.dtype.element_ty), mask=live)
                tl.store(grad_locations + 2 * tap + 1, grad_y.to(grad_locations.dtype.element_ty), mask=live)
