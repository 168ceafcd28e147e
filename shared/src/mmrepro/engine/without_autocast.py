"""Computing in the precision of the tensors also where a run is under autocast."""

from __future__ import annotations

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context in which autocast does not act on tensors of a tensor's device.

    Args:
        tensor: on any device. "meta" and others that have no autocast have none to leave, and torch would refuse them.
    """
    kind = tensor.device.type
    return torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False)
