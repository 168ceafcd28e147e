"""The paper's own loading hook: other detectors are refused by name, and class rows are drawn anew where asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mm_monodino_detr.checkpoint import class_names_of, is_class_row, require_same_model, weights_of
from mm_monodino_detr.checkpoint_sizes import settings_of
from mmrepro.engine.model_settings_hook import ModelSettingsHook
from mmrepro.engine.strict_load_hook import metainfo_of, model_of
from mmrepro.safe_loading import source_of


@HOOKS.register_module()
class MonoDINOCheckpointHook(ModelSettingsHook):
    """Name the detectors when a checkpoint does not belong to the config's, and each setting that differs.

    Official weights become ours here. The ``StrictLoadHook`` that runs after it checks every key and shape. Public
    weights of the frozen parts alone are refused with the setting that they belong to.

    The size that images are resized to, the range of the depth bins, queries per group and heads show in no weight:
    checkpoints of ours carry them, and this hook compares; official files say the range of the bins alone.

    Args:
        new_classes: start a training from a detector of other classes. Class rows keep their initial values where they
            are as many as in the file neither in number nor in names, and the log lists them. Testing and resuming stay
            strict: no one trained these weights.
        ignore: settings that may differ, such as ``target_size``.
    """

    def __init__(self, new_classes: bool = False, ignore: Sequence[str] = ()) -> None:
        super().__init__(ignore)
        self.new_classes = new_classes

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return the detector's settings by part."""
        return settings_of(model)

    def compare(
        self,
        model: nn.Module,
        checkpoint: Mapping[str, Any],
        new: Sequence[str] = (),
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Compare a checkpoint with the detector: see :func:`mm_monodino_detr.checkpoint.require_same_model`.

        Args:
            model: the detector.
            checkpoint: ours or an official one.
            new: settings that may differ, as those of ``ignore``.
            weights: the checkpoint's in our layout; converted here if None.
        """
        require_same_model(model, checkpoint, (*self.ignore, *new), weights)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings, and put our state dict under ``state_dict``.

        Raises:
            CheckpointMismatchError: a setting differs, or the file is no detector.
        """
        model = model_of(runner)
        training = isinstance(runner._train_loop, BaseLoop)
        starting = training and not runner._resume and runner.iter == 0  # else it is resumed, or has found its best
        renewing = starting and self.new_classes
        weights = weights_of(checkpoint)
        self.compare(model, checkpoint, ["bbox_head.num_classes"] if renewing else [], weights)
        fresh = self._fresh_classes(runner, checkpoint, weights) if renewing else {}
        if fresh:
            runner.logger.info(f"{source_of(checkpoint)}: {len(fresh)} weights are drawn anew: {', '.join(fresh)}")
        checkpoint["state_dict"] = weights | fresh

    def _fresh_classes(self, runner: Runner, checkpoint: dict, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names, here = class_names_of(checkpoint), metainfo_of(runner).get("classes")
        others = bool(names and here) and names != tuple(here)
        fresh = {
            key: value
            for key, value in model_of(runner).state_dict().items()
            if is_class_row(key) and key in weights and (others or len(weights[key]) != len(value))
        }
        if not fresh and not names:
            runner.logger.warning(
                f"{source_of(checkpoint)} does not name its classes: they are as many as here, so what belongs to them "
                "is kept"
            )
        return fresh
