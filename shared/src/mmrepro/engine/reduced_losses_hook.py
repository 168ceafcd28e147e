"""Logs the mean loss of all processes instead of the first one's."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class ReducedLossesHook(Hook):
    """Replaces what the training step returns for the log by its mean over the processes, in one reduction.

    Every process must return the same names. Does nothing in a single process. ``--launcher`` adds it to the config.
    """

    priority = "HIGHEST"  # before the log takes the values

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Reduce in place: the hooks that follow see the means."""
        if get_world_size() == 1 or not outputs:
            return
        names = sorted(outputs)
        device = get_device()
        values = torch.stack([torch.as_tensor(outputs[name]).detach().float().reshape(()).to(device) for name in names])
        all_reduce(values, op="mean")
        outputs.update(zip(names, values.unbind(), strict=True))
