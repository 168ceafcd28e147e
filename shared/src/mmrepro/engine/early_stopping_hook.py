"""Early stopping that a resumed run goes on with."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS

_KEY = "early_stopping"


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's ``EarlyStoppingHook`` with its count and best score in the checkpoint.

    The defaults are the rule of the forecasting papers' official code: stop when the error has not improved for 3
    validations in a row; a score that equals the best counts as an improvement.

    Args:
        monitor: the metric's key.
        rule: ``less`` or ``greater``.
        min_delta: what a score must improve by to count.
        patience: validations without improvement until the stop.
        strict: raise where the metric is missing.
        kwargs: everything else as in mmengine.
    """

    priority = "VERY_LOW"  # before the checkpoint is written again after a validation

    def __init__(
        self,
        monitor: str,
        rule: str | None = "less",
        min_delta: float = 0.0,
        patience: int = 3,
        strict: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, rule, min_delta=min_delta, patience=patience, strict=strict, **kwargs)

    def before_train(self, runner: Any) -> None:
        """Take the count and the best score from the resumed checkpoint."""
        saved = runner.message_hub.get_info(_KEY)
        if saved is not None:
            self.wait_count, self.best_score = saved["wait_count"], saved["best_score"]

    def after_val_epoch(self, runner: Any, metrics: dict) -> None:
        """Decide whether to stop, and record the state for the next checkpoint."""
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(_KEY, {"wait_count": self.wait_count, "best_score": float(self.best_score)})
