"""After training, the model holds the best checkpoint's weights instead of the last ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class LoadBestHook(Hook):
    """Loads the checkpoint that ``save_best`` has chosen, so that a test in the same process uses it.

    Args:
        indicator: the metric to go by, where ``save_best`` names several.
    """

    priority = "LOWEST"

    def __init__(self, indicator: str | None = None) -> None:
        self.key = "best_ckpt" if indicator is None else f"best_ckpt_{indicator}"

    def after_train(self, runner: Any) -> None:
        """Load the best weights; where no validation has chosen any, the last ones stay, and the log says so."""
        path = runner.message_hub.get_info(self.key)
        if path is None:
            runner.logger.warning("no validation has chosen a best checkpoint: the model keeps its last weights")
            return
        barrier()  # the main process has written it
        runner.load_checkpoint(str(Path(path)), map_location="cpu")
