"""The pool of training pairs (section 3 of Real-ESRGAN, appendix): mixes pairs of many batches into one.

All pairs of a batch are resized alike, so neighbours come from different batches: a pool is filled first, and then
gives out pairs at random while the new ones take their places. Source: ``_dequeue_and_enqueue`` of XPixelGroup/HAT @
1638a9a, hat/models/realhatgan_model.py. Changed here: a checkpoint may carry the pool, so that a resumed run of
one process is the uninterrupted one; officially a resumed run fills it again.
"""

from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from mmrepro.engine.strict_load_hook import model_of


class PairPool:
    """A pool of pairs; no part of any state dict.

    Args:
        size: how many pairs it holds, a multiple of the batch size.
    """

    def __init__(self, size: int = 180) -> None:
        if size < 1:
            raise ValueError(f"a pool of {size} pairs holds nothing. Fix: use at least the batch size")
        self.size, self.filled = size, 0
        self.order = torch.arange(size)  # of the places, since the last shuffling
        self.lq: Tensor | None = None
        self.gt: Tensor | None = None

    @torch.no_grad()
    def exchange(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """Put a batch of pairs in, and return one of the same size: the same until the pool is full, then mixed pairs.

        Args:
            lq: (B, C, h, w).
            gt: (B, C, H, W).

        Raises:
            ValueError: the pool's size is no multiple of the batch size, or the pairs have another shape than before.
        """
        b = len(lq)
        if self.size % b:
            raise ValueError(f"queue_size={self.size} must be a multiple of the batch size {b}")
        if self.lq is None or self.gt is None:
            self.lq, self.gt = lq.new_zeros(self.size, *lq.shape[1:]), gt.new_zeros(self.size, *gt.shape[1:])
        for name, pool, new in (("lq", self.lq, lq), ("gt", self.gt, gt)):
            if pool.shape[1:] != new.shape[1:]:
                raise ValueError(f"{name} has the shape {tuple(new.shape[1:])}, the pool {tuple(pool.shape[1:])}")
        if self.filled < self.size:
            self.lq[self.filled : self.filled + b] = lq
            self.gt[self.filled : self.filled + b] = gt
            self.filled += b
            return lq, gt
        # Officially the pool itself is shuffled; an order of its places gives the same pairs and moves no pictures. The
        # draw is the CPU's whatever the device is: that is the recipe's generator.
        self.order = self.order[torch.randperm(self.size)]
        places = self.order[:b].to(lq.device)
        mixed = self.lq[places], self.gt[places]
        self.lq[places], self.gt[places] = lq, gt
        return mixed

    def state(self) -> dict:
        """Return what a checkpoint keeps of the pool: its pairs on the CPU, their order, how many there are."""
        pairs = {} if self.lq is None or self.gt is None else {"lq": self.lq.cpu(), "gt": self.gt.cpu()}
        return {"size": self.size, "filled": self.filled, "order": self.order, **pairs}

    def restore(self, state: dict, device: torch.device | str = "cpu") -> None:
        """Take up a stored ``state``.

        Raises:
            ValueError: it is of a pool of another size.
        """
        if state["size"] != self.size:
            raise ValueError(f"the checkpoint has a pool of {state['size']} pairs, queue_size is {self.size}")
        self.filled, self.order = state["filled"], state["order"]
        self.lq = state["lq"].to(device) if "lq" in state else None
        self.gt = state["gt"].to(device) if "gt" in state else None


@HOOKS.register_module()
class PairPoolHook(Hook):
    """Keep the pools of a model in its checkpoints (140 MB for 180 pairs of 256 pixels), and resume with them.

    With several processes only the first one's is kept: the others fill theirs again, as every process of the official
    code does, since the pools of all would make each checkpoint larger by 140 MB for each of them.
    """

    KEY = "pair_pools"

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the pools."""
        checkpoint[self.KEY] = {name: pool.state() for name, pool, _ in self._pools(runner)}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the pools up in the process they are of, if this is a resumed run and not a fine-tuning."""
        if not getattr(runner, "_resume", False) or not is_main_process():
            return
        stored = checkpoint.get(self.KEY, {})
        for name, pool, device in self._pools(runner):
            if name in stored:
                pool.restore(stored[name], device)

    @staticmethod
    def _pools(runner) -> list[tuple[str, PairPool, torch.device]]:
        return [
            (name, module.pool, module.device)
            for name, module in model_of(runner).named_modules()
            if isinstance(getattr(module, "pool", None), PairPool)
        ]
