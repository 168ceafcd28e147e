"""Data parallelism for a model whose parts have an optimizer each, such as a generator and its discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapperDict
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@MODEL_WRAPPERS.register_module()
class PartwiseDistributedDataParallel(nn.Module):
    """Average the gradients of each part of a model that has trainable weights in its own right, over the processes.

    One ``DistributedDataParallel`` around such a model would wait for gradients of parts that the current loss does not
    reach, and mmengine's calls no ``train_step`` of the model's own. mmengine's ``MMSeparateDistributedDataParallel``
    does, but leaves its wrappers inside the model, where they change the names of all weights. Here the parts are
    exchanged for wrapped ones while a training step runs, and at no other time.

    Args:
        module: the model, with a ``train_step`` that calls its parts as attributes; on its device already.
        kwargs: for torch's ``DistributedDataParallel``; buffers are not broadcast unless asked for here.
    """

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        super().__init__()
        self.module = module
        kwargs = {"broadcast_buffers": False, **kwargs}
        # In a plain dict, not a ModuleDict: these are other names of the module's weights, not further ones.
        self._wrapped = {
            name: DistributedDataParallel(part, **kwargs)
            for name, part in module.named_children()
            if any(weight.requires_grad for weight in part.parameters())
        }

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model itself; gradients of this are not averaged."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapperDict) -> dict[str, torch.Tensor]:
        """Make the model's training step with its parts wrapped."""
        with self._parts_exchanged():
            return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> list:
        """Predict as the model does."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predict as the model does."""
        return self.module.test_step(data)

    @contextmanager
    def _parts_exchanged(self) -> Iterator[None]:
        try:
            for name, wrapped in self._wrapped.items():
                setattr(self.module, name, wrapped)
            yield
        finally:
            for name, wrapped in self._wrapped.items():
                setattr(self.module, name, wrapped.module)
