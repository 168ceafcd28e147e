"""The paper's own loading hook: a checkpoint of another variant is refused by name, not by a list of keys."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mm_vit_comer.checkpoint import require_same_model, settings_of


@HOOKS.register_module()
class ViTCoMerCheckpointHook(Hook):
    """Name the variants when a checkpoint does not belong to the config's network, and each setting that differs.

    Which of the ViT's maps are added to the results, and which blocks attend in windows, show in no shape: a detector's
    backbone would load into a segmentor's and give other maps without an error. Checkpoints of ours carry both, and
    this hook compares them; official files do not say, and the config's count then.

    Args:
        ignore: settings or parts that may differ, such as ``decode_head`` for fine-tuning on other classes, with the
            same in ``StrictLoadHook(ignore=["decode_head."])``.
    """

    priority = "HIGHEST"  # before StrictLoadHook, which lists every key at fault

    def __init__(self, ignore: Sequence[str] = ()) -> None:
        self.ignore = tuple(ignore)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the network's settings into the checkpoint's meta."""
        checkpoint.setdefault("meta", {})["model"] = settings_of(_model(runner))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings.

        Raises:
            CheckpointMismatchError: one differs.
        """
        require_same_model(_model(runner), checkpoint, self.ignore)


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
