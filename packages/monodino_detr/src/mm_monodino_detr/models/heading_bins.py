"""Headings as one of twelve bins and a residual (JihyeokKim/MonoDINO-DETR @ 65004cc, ``angle2class``).

Bin 0 is centred on 0 rad, so it reaches from -15 to 15 degrees.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

NUM_BINS = 12
BIN_SIZE = 2 * np.pi / NUM_BINS

Values = TypeVar("Values", np.ndarray, Tensor)


def encode_heading(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins of angles and what is left to the centres of the bins.

    Args:
        angles: in radians, of any range, ``(...)``.

    Returns:
        Bins 0 to 11 (int64) and residuals in radians, from -15 to 15 degrees, ``(...)`` each.
    """
    turn = 2 * np.pi
    shifted = (np.asarray(angles, np.float64) % turn + BIN_SIZE / 2) % turn
    bins = np.minimum((shifted / BIN_SIZE).astype(np.int64), NUM_BINS - 1)  # just below a turn the quotient rounds up
    return bins, shifted - (bins + 0.5) * BIN_SIZE


def decode_heading(bins: Values, residuals: Values) -> Values:
    """Return the angles of bins and residuals in radians, those above pi a turn lower.

    Args:
        bins, residuals: arrays or tensors ``(...)``. Residuals may be of any size: as officially, angles are brought
            down once and never up.
    """
    angles = bins * BIN_SIZE + residuals
    return angles - 2 * np.pi * (angles > np.pi)
