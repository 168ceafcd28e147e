"""A progress bar, on interactive terminals only."""

from __future__ import annotations

import logging
import sys
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows how far training, validation and testing are; silent where the output goes into a file or a pipe.

    Args:
        console: the console to draw on; by default the standard output's.
    """

    priority = "VERY_LOW"

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._bar: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._streams: list[tuple[logging.StreamHandler, Any]] = []

    def before_train(self, runner: Any) -> None:
        """Start the bar of the training, at the resumed iteration."""
        self._show(runner, "train", runner.max_iters, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar on and show the loss."""
        if self._bar is not None:
            loss = (outputs or {}).get("loss")
            shown = "" if loss is None else f"loss {float(torch.as_tensor(loss).detach()):.4f}"
            self._bar.update(self._tasks["train"], completed=runner.iter + 1, note=shown)

    def after_train(self, runner: Any) -> None:
        """Take the bar away."""
        self._hide("train")

    def before_val(self, runner: Any) -> None:
        """Start the bar of a validation, below the training's."""
        self._show(runner, "val", len(runner.val_dataloader))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update(self._tasks["val"], completed=batch_idx + 1)

    def after_val(self, runner: Any) -> None:
        """Take the bar away."""
        self._hide("val")

    def before_test(self, runner: Any) -> None:
        """Start the bar of the test."""
        self._show(runner, "test", len(runner.test_dataloader))

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update(self._tasks["test"], completed=batch_idx + 1)

    def after_test(self, runner: Any) -> None:
        """Take the bar away."""
        self._hide("test")

    def _show(self, runner: Any, name: str, total: int, completed: int = 0) -> None:
        if not is_main_process() or not self.console.file.isatty():
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, *times, console=self.console, transient=True)
            self._bar.start()
            self._log_above_the_bar(runner.logger)
        self._tasks[name] = self._bar.add_task(name, total=total, completed=completed, note="")

    def _hide(self, name: str) -> None:
        if self._bar is None:
            return
        self._bar.remove_task(self._tasks.pop(name))
        if not self._tasks:
            self._bar.stop()
            self._bar = None
            for handler, stream in self._streams:
                handler.setStream(stream)
            self._streams = []

    def _log_above_the_bar(self, logger: logging.Logger) -> None:
        # rich replaces sys.stdout while the bar is shown; the logger's handlers still hold the one from before.
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                self._streams.append((handler, handler.stream))
                handler.setStream(sys.stdout)
