"""Each window by its own mean and deviation, as the Non-stationary Transformer (NeurIPS 2022) introduced it.

Official code: thuml/iTransformer @ c2426e6, model/iTransformer.py. Changed here: out of place, so that gradients reach
the input.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5  # below the root


def normalise_windows(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return windows (B, T, V) with mean 0 and deviation 1 per variate, and that mean and deviation (B, 1, V).

    The deviation is the population's, with ``EPS`` added to the variance; no gradient flows through the mean.
    """
    mean = inputs.mean(1, keepdim=True).detach()
    centred = inputs - mean
    deviation = torch.sqrt(centred.var(1, keepdim=True, unbiased=False) + EPS)
    return centred / deviation, mean, deviation
