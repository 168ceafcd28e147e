"""The paper's own hook: a checkpoint of another model is refused with its cause, not with a list of all its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import HOOKS
from torch import nn

from mm_itransformer.checkpoint import require_same_model
from mmrepro.engine.model_settings_hook import ModelSettingsHook


@HOOKS.register_module()
class ITransformerCheckpointHook(ModelSettingsHook):
    """Name what differs when a checkpoint does not belong to the config's model: lengths, width, depth, heads.

    Lengths, width and depth show in the shapes of the weights. The number of heads, ``use_norm``, the activation, the
    attention's type and arguments and ``features`` do not, so a wrong one would give wrong forecasts without an error:
    every checkpoint of ours carries them, and this hook compares. Official files do not say them; the config's are
    taken then.

    Args:
        ignore: settings that may differ, such as ``pred_len`` when a model is fine-tuned for another horizon (with
            ``StrictLoadHook(ignore=["head.proj"])``).
    """

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return the model's settings."""
        return dict(model.settings)

    def compare(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
        """Compare a checkpoint with the model: see :func:`mm_itransformer.checkpoint.require_same_model`."""
        require_same_model(model, checkpoint, self.ignore)
