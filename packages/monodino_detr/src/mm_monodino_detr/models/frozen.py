"""Parts that are loaded and never trained: no graph, evaluation mode, and a precision of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn


def freeze(module: nn.Module) -> None:
    """Keep a module's parameters as they are: no gradient reaches them, and the module is in evaluation mode."""
    module.requires_grad_(False)
    module.train(False)


@contextmanager
def compute_as(module: nn.Module, like: Tensor) -> Iterator[None]:
    """Compute without a graph where ``module.frozen``, and in bfloat16 where ``module.bf16``.

    Args:
        module: has the two flags.
        like: a tensor on the device that computes.
    """
    with ExitStack() as stack:
        if module.frozen:
            stack.enter_context(torch.no_grad())
        if module.bf16:
            stack.enter_context(torch.autocast(like.device.type, torch.bfloat16))
        yield
