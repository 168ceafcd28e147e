"""Training loops that go on after a kill as if nothing had happened: the same weights, bit by bit, on the CPU.

The checkpoint (written by :class:`~mmrepro.engine.checkpoint_hook.AtomicCheckpointHook`) holds the position in the
data and the random states of every process. The data draws from its own streams (``seeded_data``), iterators and
validation give the random states back, so that nothing but the model and the hooks moves them. Several processes draw
different numbers, for dropout, say; mmengine's seed is the same in all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from . import random_state
from .errors import UserError
from .seeded_data import seeded_dataloader


class ResumableLoop:
    """What both loops share: the state in the checkpoint, and validation that leaves no trace in the random states."""

    def __init__(self, runner: Any, dataloader: dict, **kwargs: Any) -> None:
        if runner._randomness_cfg.get("diff_rank_seed"):
            # The sampler's seed is then one that mmengine draws, and no longer the run's, which the checkpoint holds.
            raise UserError(
                "randomness has diff_rank_seed=True, with which a resumed run would take the training data in another "
                "order. Fix: randomness=dict(seed=...) alone; each process draws numbers of its own anyway"
            )
        super().__init__(runner, seeded_dataloader(dataloader, runner.seed), **kwargs)
        if len(self.dataloader) == 0:
            batches = self.dataloader.batch_sampler
            raise UserError(
                f"the training data gives no batch: {len(self.dataloader.dataset)} samples, batch size "
                f"{batches.batch_size}, drop_last={batches.drop_last}"
            )
        # Batches of the current pass through the data that are done, the current one included.
        self._batches_done = 0
        self._before_validation: dict | None = None
        self._loaded: dict | None = None

    def resume_state(self) -> dict:
        """Return what resuming needs beside mmengine's own state, in inert types; every process must call it."""
        accumulated = {
            name: weight.grad.cpu() for name, weight in self._model().named_parameters() if weight.grad is not None
        }
        return {
            "random": all_gather_object(self._before_validation or random_state.capture()),
            "gradients": all_gather_object(accumulated),  # empty but in the middle of an accumulation
            "batches_done": self._batches_done,
            "validated": self._before_validation is not None,
            "seed": self.dataloader.batch_sampler.seed,
        }

    def load_resume_state(self, state: dict | None) -> None:
        """Keep the state of a checkpoint; it is used when the loop starts, if the runner resumes."""
        self._loaded = state

    def _resume(self) -> bool:
        """Go to where the checkpoint was written; return whether a validation may be due there."""
        if get_rank():  # mmengine seeds all processes alike: the same dropout, the same noise in each
            random_state.seed(self.runner.seed, self._iter, get_rank())
        if self._iter == 0:
            return False
        # The safe loader gives an inert text instead of the config inside a checkpoint.
        self.runner.message_hub.update_info("cfg", self.runner.cfg.pretty_text)
        if self._loaded is None:
            print_log(
                "the checkpoint holds no random states (AtomicCheckpointHook writes them): the resumed run will differ "
                "from an uninterrupted one",
                logger="current",
                level=logging.WARNING,
            )
            return False
        self.dataloader.batch_sampler.reseed(self._loaded["seed"])
        self._batches_done = self._loaded["batches_done"]
        states = self._loaded["random"]
        if len(states) == get_world_size():
            random_state.restore(states[get_rank()])
            weights = dict(self._model().named_parameters())
            for name, gradient in self._loaded["gradients"][get_rank()].items():
                weights[name].grad = gradient.to(weights[name].device)
        else:
            print_log(
                f"the checkpoint was written by {len(states)} processes and is resumed by {get_world_size()}: the "
                "resumed run will differ from an uninterrupted one",
                logger="current",
                level=logging.WARNING,
            )
        return not self._loaded["validated"]

    def _model(self) -> nn.Module:
        return self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model

    def _batches(self, epoch: int) -> Iterator[Any]:
        """Return an iterator over the batches of a pass that are not done yet."""
        self.dataloader.batch_sampler.start(epoch, self._batches_done)
        with random_state.preserved():  # torch draws a base seed for the workers here
            return iter(self.dataloader)

    def _validate_if_due(self, progress: int, last: int) -> None:
        self._decide_current_val_interval()
        if self.runner.val_loop is None or progress < self.val_begin:
            return
        if progress % self.val_interval and progress != last:
            return
        with random_state.preserved() as self._before_validation:
            self.runner.val_loop.run()
        self._before_validation = None


@LOOPS.register_module()
class ResumableEpochLoop(ResumableLoop, EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, bit-equal after resuming from a checkpoint of an epoch or of an iteration.

    Args:
        runner: the runner.
        dataloader: config of the training data.
        kwargs: ``max_epochs``, ``val_begin``, ``val_interval``, ``dynamic_intervals`` as in mmengine.

    Raises:
        UserError: the training data gives no batch, or ``randomness`` has ``diff_rank_seed``.
    """

    def run(self) -> Any:
        """Train, and return the model."""
        self.runner.call_hook("before_train")
        if self._resume() and self._batches_done == 0:
            self._validate_if_due(self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due(self._epoch, self._max_epochs)
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train the batches of the epoch that are not done yet."""
        # In the middle of an epoch the hook has run before the checkpoint: what it draws must not be drawn twice.
        with random_state.preserved() if self._batches_done else nullcontext():
            self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self._batches(self._epoch), start=self._batches_done):
            self._batches_done = index + 1
            self.run_iter(index, batch)
        # A checkpoint that is written from now on belongs to the next epoch's start.
        self._batches_done = 0
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterLoop(ResumableLoop, IterBasedTrainLoop):
    """mmengine's ``IterBasedTrainLoop``, bit-equal after resuming, with finite or infinite samplers.

    Args:
        runner: the runner.
        dataloader: config of the training data.
        kwargs: ``max_iters``, ``val_begin``, ``val_interval``, ``dynamic_intervals`` as in mmengine.

    Raises:
        UserError: the training data gives no batch, or ``randomness`` has ``diff_rank_seed``.
    """

    def __init__(self, runner: Any, dataloader: dict, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self._pass = 0

    def resume_state(self) -> dict:
        """Return what resuming needs beside mmengine's own state, in inert types; every process must call it."""
        return {**super().resume_state(), "pass": self._pass}

    def run(self) -> Any:
        """Train, and return the model."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._resume():
            self._validate_if_due(self._iter, self._max_iters)
        batches = self._endless()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._validate_if_due(self._iter, self._max_iters)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _resume(self) -> bool:
        due = super()._resume()
        if self._loaded is not None:
            self._pass = self._loaded["pass"]
        return due

    def _endless(self) -> Iterator[Any]:
        while True:
            for batch in self._batches(self._pass):
                self._batches_done += 1
                yield batch
            if self._batches_done == 0:
                raise RuntimeError("the sampler of the training data gives no batch")
            self._pass, self._batches_done = self._pass + 1, 0
