"""A learning rate read off a table, as the official code's ``lradj=type2`` does it.

Its ``type1`` needs nothing of its own: ``ExponentialLR(gamma=0.5, begin=1)`` runs epochs 1 and 2 at the first rate and
halves it after each further one.
"""

from __future__ import annotations

from mmengine.optim.scheduler import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

TYPE2 = {2: 5e-5, 4: 1e-5, 6: 5e-6, 8: 1e-6, 10: 5e-7, 15: 1e-7, 20: 5e-8}


@PARAM_SCHEDULERS.register_module()
class EpochTableLR(_ParamScheduler):
    """Set the learning rate of every group to a fixed value after certain epochs, and leave it alone otherwise.

    Args:
        optimizer: the optimiser or its wrapper.
        table: rate by the number of epochs after which it comes into force; None for the official ``type2``.
        kwargs: what every scheduler of mmengine takes (``begin``, ``end``, ``last_step``, ``by_epoch``, ``verbose``).
    """

    def __init__(self, optimizer, table: dict[int, float] | None = None, **kwargs):
        self.table = {int(epoch): rate for epoch, rate in (table or TYPE2).items()}
        super().__init__(optimizer, "lr", **kwargs)

    def _get_value(self) -> list[float]:
        return [self.table.get(self.last_step, group["lr"]) for group in self.optimizer.param_groups]
