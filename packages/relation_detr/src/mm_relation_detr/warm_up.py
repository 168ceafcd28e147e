"""The official warm-up (xiuqhou/Relation-DETR @ b485955): linear over the first 1000 steps or the first epoch."""

from __future__ import annotations

from typing import Any

from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class FirstEpochLinearLR(LinearLR):
    """Raise the learning rate linearly to its full value in ``min(most, iterations of an epoch - 1)`` steps.

    In a config with ``by_epoch=True, convert_to_iter_based=True``, so that it knows how long an epoch is. An epoch of
    one step has no warm-up.

    Args:
        most: steps of the warm-up at most.
        **kwargs: of mmengine's ``LinearLR``; ``start_factor`` is 0.001 officially.
    """

    @classmethod
    def build_iter_from_epoch(cls, *args: Any, epoch_length: int, most: int = 1000, **kwargs: Any) -> LinearLR:
        """Build it for epochs of a length."""
        steps = min(most, epoch_length - 1)
        if steps < 1:
            kwargs["start_factor"] = 1.0
        return cls(*args, **{**kwargs, "begin": 0, "end": max(steps, 1) + 1, "by_epoch": False})
