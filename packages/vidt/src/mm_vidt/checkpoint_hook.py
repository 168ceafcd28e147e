"""The paper's own loading hook: other detectors are refused by name, and what may differ is made to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mm_vidt.checkpoint import (
    TRAINING_HEADS,
    class_names_of,
    from_official,
    is_official,
    require_same_model,
    settings_of,
    unlike_heads,
    weights_of,
    with_heads_of,
)
from mm_vidt.class_rows import is_class_row
from mmrepro.checkpoint import check_options, strip_wrappers
from mmrepro.engine.model_settings_hook import ModelSettingsHook
from mmrepro.engine.strict_load_hook import metainfo_of, model_of
from mmrepro.model_settings import stored_settings
from mmrepro.safe_loading import source_of


@HOOKS.register_module()
class ViDTCheckpointHook(ModelSettingsHook):
    """Name the detectors when a checkpoint does not belong to the config's, and each setting that differs.

    Official weights become ours here. The ``StrictLoadHook`` that runs after it checks every key and shape. What is
    left out or not taken from the file is listed in the log. Heads of training alone, for overlaps and token labels,
    may be in the file or in the config alone when weights are tested: no prediction uses them.

    Which stages attend from [DET] tokens to patches, what labels are and how large a mask is show in no weight:
    checkpoints of ours carry it, and this hook compares; official files do not say, and the config's count then.

    Args:
        new_classes: start a training from a detector of other classes. Class rows keep their initial values where they
            are as many as in the file neither in number nor in names, or labels are other ones. A file that does not
            name its classes is taken to have the same ones if they are as many, which the log says.
        new_heads: start a training of mask vectors, overlaps or token labels from a file that lacks them. As with
            ``new_classes``, testing and resuming stay strict: no one trained these weights.
        contiguous: take COCO's 80 classes out of the file's 91 rows of raw category ids; a file of ours may have 80
            already.
        num_layers: take as many decoder layers of a deeper one, "decoding layer drop"; prediction ends with the level
            after the last of them.
        drop_heads: start a training, or test, without those heads of the file for mask vectors, overlaps and token
            labels that the config's detector lacks.
        ignore: settings that may differ, such as ``backbone.cross_stages``.

    Raises:
        ValueError: an option is not of its type.
    """

    def __init__(
        self,
        new_classes: bool = False,
        new_heads: bool = False,
        contiguous: bool = False,
        num_layers: int | None = None,
        drop_heads: bool = False,
        ignore: Sequence[str] = (),
    ) -> None:
        super().__init__(ignore)
        self.new_classes, self.new_heads, self.drop_heads = new_classes, new_heads, drop_heads
        self.options: dict[str, Any] = dict(contiguous=contiguous, num_layers=num_layers)
        check_options(self.options, from_official)

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
        """Compare a checkpoint with the detector: see :func:`mm_vidt.checkpoint.require_same_model`.

        Args:
            model: the detector.
            checkpoint: ours or an official one.
            new: settings that may differ, as those of ``ignore``.
            weights: what is kept of the checkpoint, in our layout; converted here if None.
        """
        require_same_model(model, checkpoint, (*self.ignore, *new), weights, **self.options)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the settings, and put our state dict under ``state_dict``.

        Raises:
            CheckpointMismatchError: a setting differs.
        """
        model, source = model_of(runner), source_of(checkpoint)
        training = isinstance(runner._train_loop, BaseLoop)
        starting = training and not runner._resume and runner.iter == 0  # else it is resumed, or has found its best
        kept = weights_of(checkpoint, **self.options)
        heads = self._other_heads(model, kept, training, starting)
        new = ["bbox_head.num_classes", "bbox_head.labels"] if starting and self.new_classes else []
        self.compare(model, checkpoint, (*new, *(f"bbox_head.{setting}" for setting in heads)), kept)
        state = with_heads_of(model, kept, heads)
        shortened = self.options["num_layers"] is not None
        whole = weights_of(checkpoint, contiguous=self.options["contiguous"]) if shortened else kept
        if left := [key for key in whole if key not in state]:
            runner.logger.info(f"{source}: {len(left)} weights are left out: {', '.join(left)}")
        fresh = {key: value for key, value in state.items() if key not in kept}
        if fresh and not training:
            runner.logger.info(
                f"{source}: {len(fresh)} weights are absent, and no prediction uses them: {', '.join(fresh)}"
            )
        if starting and self.new_classes:
            fresh |= self._fresh_classes(runner, checkpoint, kept)
        if fresh and training:
            runner.logger.info(f"{source}: {len(fresh)} weights are drawn anew: {', '.join(fresh)}")
        checkpoint["state_dict"] = state | fresh

    def _other_heads(self, model: nn.Module, state: Mapping[str, Tensor], training: bool, starting: bool) -> list[str]:
        """Return the optional heads that may be in the file or in the model alone, by their settings."""

        def may(setting: str, there: bool) -> bool:
            if not training and setting in TRAINING_HEADS:
                return True
            return self.drop_heads and (starting or not training) if there else self.new_heads and starting

        return [setting for setting, there in unlike_heads(model, state).items() if may(setting, there)]

    def _fresh_classes(self, runner: Runner, checkpoint: dict, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        model, source = model_of(runner), source_of(checkpoint)
        names = class_names_of(checkpoint, self.options["contiguous"])
        here = metainfo_of(runner).get("classes")
        others = bool(names and here) and names != tuple(here)
        others = others or self._other_labels(model, checkpoint)
        fresh = {
            key: value
            for key, value in model.state_dict().items()
            if is_class_row(key) and key in state and (others or len(state[key]) != len(value))
        }
        if not fresh and not names:
            runner.logger.warning(
                f"{source} does not name its classes: they are as many as here, so what belongs to them is kept"
            )
        return fresh

    def _other_labels(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> bool:
        """Return whether rows are known to be raw category ids in the file and not in the model, or the other way."""
        there = stored_settings(checkpoint.get("meta"), "bbox_head", ("labels",)).get("labels")
        if self.options["contiguous"]:
            there = "contiguous"
        elif is_official(strip_wrappers(checkpoint, source_of(checkpoint))):
            there = "raw"
        here = settings_of(model)["bbox_head"].get("labels")
        return bool(there and here) and there != here
