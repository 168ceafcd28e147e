"""Backbones on the meta device: mmdet's and mmpretrain's read their rates of stochastic depth out of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class cpu_linspace(TorchFunctionMode):
    """Keep ``torch.linspace`` on the CPU, so that a backbone can be built on the meta device, which has no values."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function; ``linspace`` with the CPU as its device."""
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
