"""Mixed precision with bfloat16, on the CPU too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """``OptimWrapper`` whose forward pass and loss run under bfloat16 autocast, on whatever device the run uses.

    mmengine's ``AmpOptimWrapper`` insists on an accelerator and scales the loss. bfloat16 has float32's range: nothing
    needs scaling, so no step is skipped in silence. Parameters and optimizer state stay float32.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Run the block under autocast (and without gradient exchange while gradients accumulate)."""
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield
