"""Relative positions between a window and the larger one around it, as indices into the table of learned biases.

Paper: arXiv 2309.05239, section 3.3. Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0),
``calculate_rpi_oca``. Changed here: no index is negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmrepro.ops.windows import table_rows


def overlap_index(window_size: int, overlap_window_size: int) -> Tensor:
    """Return the rows of the bias table for attention from a window to the larger window around it.

    The official code adds ``M - Mo + 1`` where ``M - 1`` would make all indices positive, and relies on negative
    indices counting from the end of the table. Released tables are in that order, so it is kept; the indices here are
    taken modulo the number of rows, which names the same rows and suits gather kernels too.

    Args:
        window_size: side M of the windows of queries.
        overlap_window_size: side Mo of the windows of keys.

    Returns:
        int64 (M*M, Mo*Mo), query by key, from 0 to (M+Mo-1)^2 - 1.
    """
    # On the CPU even where modules are built on the meta device: what is computed here is in no checkpoint.
    query, key = torch.arange(window_size, device="cpu"), torch.arange(overlap_window_size, device="cpu")
    row_length = window_size + overlap_window_size - 1
    offsets = key - query[:, None] + window_size - overlap_window_size + 1  # (M, Mo)
    return table_rows(offsets, row_length) % row_length**2


def gather_bias(table: Tensor, index: Tensor) -> Tensor:
    """Return the bias of each pair: table (T, h) and index (N, K) give (1, h, N, K).

    It is gathered at each call, for a small part of a block's time. Kept for all tables of HAT it would weigh as much
    as all else for a small image, and go stale where weights are written through ``.data``, as weight averaging does.
    """
    return table.t().contiguous().index_select(1, index.flatten()).view(1, -1, *index.shape)
