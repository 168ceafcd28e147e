"""The paper's own loading hook: a checkpoint of another variant is refused by name, not by a list of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import HOOKS
from torch import nn

from mm_vit_comer.checkpoint import require_same_model, settings_of
from mmrepro.engine.model_settings_hook import ModelSettingsHook


@HOOKS.register_module()
class ViTCoMerCheckpointHook(ModelSettingsHook):
    """Name the variants when a checkpoint does not belong to the config's network, and each setting that differs.

    Which of the ViT's maps are added to the results, and which blocks attend in windows, show in no shape: a detector's
    backbone would load into a segmentor's and give other maps without an error. Checkpoints of ours carry both, and
    this hook compares them; official files do not say, and the config's count then.

    Args:
        ignore: settings or parts that may differ, such as ``decode_head`` for fine-tuning on other classes, with the
            same in ``StrictLoadHook(ignore=["decode_head."])``; ``heads`` where the file is of another kind of network.
    """

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return the settings of each part."""
        return settings_of(model)

    def compare(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
        """Compare a checkpoint with the network: see :func:`mm_vit_comer.checkpoint.require_same_model`."""
        require_same_model(model, checkpoint, self.ignore)
