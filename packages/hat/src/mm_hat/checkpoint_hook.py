"""The paper's own loading hook: a checkpoint of another scale or variant is refused by name, not by a list of keys."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mm_hat.checkpoint import DISCRIMINATOR, require_same_model, settings_of, unfilled


@HOOKS.register_module()
class HATCheckpointHook(Hook):
    """Name what differs when a checkpoint does not belong to the config's generator: type, scale, width and so on.

    Type, ``conv_scale`` and ``img_range`` show in no shape, so a wrong one would give wrong pictures without an error:
    every checkpoint of ours carries them, and this hook compares. Official files, of a HAT always, do not say the other
    two; the config's count then.

    Args:
        ignore: settings that may differ. A x4 network that starts from x2 weights has ``["upscale"]`` here and
            ``StrictLoadHook(ignore=["generator.upsample."])``; the log lists the keys that keep their initial weights.
            ``["type"]`` lets a HAT's weights into a network of one's own with the same keys.
    """

    priority = "HIGHEST"  # before StrictLoadHook, which lists every key at fault

    def __init__(self, ignore: Sequence[str] = ()) -> None:
        self.ignore = tuple(ignore)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the generator's settings into the checkpoint's meta."""
        checkpoint.setdefault("meta", {})["model"] = {"generator": settings_of(_model(runner))}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings.

        Raises:
            CheckpointMismatchError: one differs.
        """
        model = _model(runner)
        require_same_model(model, checkpoint, self.ignore)
        fresh = [key for key in unfilled(model, checkpoint) if not key.startswith(DISCRIMINATOR)]
        if fresh and "upscale" in self.ignore:
            runner.logger.info(f"warm start: {len(fresh)} keys keep their initial weights: {', '.join(fresh)}")


def _model(runner: Runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
