"""Stops a training at the first value that is not finite, names it, and keeps what is needed to find out why."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from torch import nn

from . import random_state
from .checkpoint_hook import latest_checkpoint
from .errors import NonFiniteError


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Checks the gradients before each step, the losses after it, and the weights before a checkpoint is written.

    The step is not made with bad gradients and the checkpoint is not written with bad weights, so the last good
    checkpoint stays. The batch goes to ``<work_dir>/non_finite/``. A wrapper that scales the loss (mmengine's
    ``AmpOptimWrapper``) looks after its gradients itself: there the losses and the weights are checked.

    Args:
        interval: check gradients and losses every so many iterations.
    """

    priority = "HIGH"  # before the log and the checkpoint

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval
        self._batch: Any = None

    def before_train(self, runner: Any) -> None:
        """Put the check of the gradients in front of the optimizer's step."""
        for wrapper in _wrappers(runner):
            if not hasattr(wrapper, "loss_scaler"):
                self._check_before_step(runner, wrapper)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch at hand."""
        self._batch = data_batch

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Check what the step returned for the log.

        Raises:
            NonFiniteError: one of the losses is not finite.
        """
        if runner.iter % self.interval == 0:
            bad = _first_bad(outputs or {})
            if bad is not None:
                self._stop(runner, f"the loss {bad!r}")

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Check the weights that are about to be written.

        Raises:
            NonFiniteError: one of the weights or buffers is not finite.
        """
        bad = _first_bad(checkpoint["state_dict"])
        if bad is not None:
            self._stop(runner, f"the weight {bad!r}")

    def _check_before_step(self, runner: Any, wrapper: OptimWrapper) -> None:
        step = wrapper.step  # it clips first, and clipping by a norm that is NaN makes every gradient NaN
        # Of several optimizers each answers for its own weights.
        own = {id(weight) for group in wrapper.optimizer.param_groups for weight in group["params"]}

        @functools.wraps(step)  # the schedulers look for the mark that they put on it
        def checked_step(**kwargs: Any) -> None:
            if runner.iter % self.interval == 0:
                bad = _first_bad(_gradients(_bare(runner.model), own))
                if bad is not None:
                    self._stop(runner, f"the gradient of {bad!r}")
            step(**kwargs)

        wrapper.step = checked_step

    def _stop(self, runner: Any, what: str) -> None:
        folder = Path(runner.work_dir) / "non_finite"
        folder.mkdir(exist_ok=True)
        path = folder / f"iter_{runner.iter + 1}_rank_{get_rank()}.pth"
        torch.save({"batch": self._batch, "epoch": runner.epoch, "iter": runner.iter + 1}, path)
        good = latest_checkpoint(runner.work_dir)
        raise NonFiniteError(
            f"iteration {runner.iter + 1}: {what} is not finite. {self._origin(runner)} The batch is saved in {path}. "
            + (f"The last good checkpoint is {good}." if good else "No checkpoint was written before.")
        )

    def _origin(self, runner: Any) -> str:
        """Say where the first bad value of the forward pass comes from: the batch, or a module's output."""
        bad = _first_bad(dict(_tensors(self._batch)))
        if bad is not None:
            return f"The batch itself holds such values, in {bad!r}."
        model = _bare(runner.model)
        culprits: list[str] = []

        def note(name: str, output: Any) -> None:
            if not culprits and _first_bad(dict(_tensors(output))) is not None:
                culprits.append(name)

        handles = [
            module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
            for name, module in model.named_modules()
            if name
        ]
        with ExitStack() as contexts:
            contexts.enter_context(torch.no_grad())
            contexts.enter_context(random_state.preserved())
            for wrapper in _wrappers(runner):
                contexts.enter_context(wrapper.optim_context(model))
            losses = model._run_forward(model.data_preprocessor(self._batch, True), mode="loss")
        for handle in handles:
            handle.remove()
        if culprits:
            return f"In the forward pass the first such output is that of the module {culprits[0]!r}."
        bad = _first_bad(dict(_tensors(losses)))
        if bad is not None:
            return f"In the forward pass every module's output is finite, the loss {bad!r} is not."
        return (
            "Repeated, the forward pass of this batch is finite: the value arises in the backward pass or the step, or "
            "from something drawn at random."
        )


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _wrappers(runner: Any) -> list[OptimWrapper]:
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _gradients(model: nn.Module, own: Set[int]) -> dict[str, torch.Tensor]:
    """Return the gradients by name, of the weights whose ids are given."""
    return {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None and id(weight) in own
    }


def _first_bad(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor with a value that is not finite; one synchronisation where all are finite."""
    floating = {
        name: tensor.detach()
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel()
    }
    if not floating:
        return None
    # A sum is ten times as fast as a look at each value; one that overflows is looked at again.
    if torch.stack([tensor.sum().float() for tensor in floating.values()]).isfinite().all():
        return None
    return next((name for name, tensor in floating.items() if not tensor.isfinite().all()), None)


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Walk dicts and sequences and yield the tensors with their dotted names."""
    if isinstance(value, torch.Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{name}.{index}" if name else str(index))
