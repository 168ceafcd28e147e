"""The paper's own loading hook: a checkpoint of another scale or variant is refused by name, not by a list of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mm_hat.checkpoint import DISCRIMINATOR, require_same_model, settings_of, unfilled
from mmrepro.engine.model_settings_hook import ModelSettingsHook
from mmrepro.engine.strict_load_hook import model_of


@HOOKS.register_module()
class HATCheckpointHook(ModelSettingsHook):
    """Name what differs when a checkpoint does not belong to the config's generator: type, scale, width and so on.

    Type, ``conv_scale`` and ``img_range`` show in no shape, so a wrong one would give wrong pictures without an error:
    every checkpoint of ours carries them, and this hook compares. Official files, of a HAT always, do not say the other
    two; the config's count then.

    Args:
        ignore: settings that may differ. A x4 network that starts from x2 weights has ``["upscale"]`` here and
            ``StrictLoadHook(ignore=["generator.upsample."])``; the log lists the keys that keep their initial weights.
            ``["type"]`` lets a HAT's weights into a network of one's own with the same keys.
    """

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return the generator's settings."""
        return {"generator": settings_of(model)}

    def compare(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
        """Compare a checkpoint with the generator: see :func:`mm_hat.checkpoint.require_same_model`."""
        require_same_model(model, checkpoint, self.ignore)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings, and log what a warm start leaves as it is.

        Raises:
            CheckpointMismatchError: a setting differs.
        """
        super().after_load_checkpoint(runner, checkpoint)
        fresh = [key for key in unfilled(model_of(runner), checkpoint) if not key.startswith(DISCRIMINATOR)]
        if fresh and "upscale" in self.ignore:
            runner.logger.info(f"warm start: {len(fresh)} keys keep their initial weights: {', '.join(fresh)}")
