"""Loading weights into a detector: official files become ours, every key must fit, and misfits are called by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mm_relation_detr.checkpoint import class_names
from mm_relation_detr.class_rows import is_class_row
from mm_relation_detr.other_settings import explained
from mmrepro.checkpoint import CheckpointMismatchError, strip_wrappers
from mmrepro.engine.strict_load_hook import StrictLoadHook, metainfo_of, model_of
from mmrepro.safe_loading import source_of


@HOOKS.register_module()
class RelationLoadHook(StrictLoadHook):
    """``StrictLoadHook`` that says which detector a file holds if it is another one, and that starts fine-tuning.

    Args:
        new_classes: start a training from a detector of other classes. What belongs to the classes (class heads, and
            the label embedding of the denoising) keeps its initial values where the number of classes is another or
            their names are, and the log lists it. A file that does not name its classes is taken to have the same ones
            if they are as many, which the log says. Testing and resuming stay strict: no one trained those values.
        kwargs: everything else as in ``StrictLoadHook``.
    """

    def __init__(self, new_classes: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"paper": "relation_detr", **kwargs})
        self.new_classes = new_classes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put our state dict under ``state_dict``, checked.

        Raises:
            CheckpointMismatchError: with the file's name, the settings that its shapes show to be others, and every key
                at fault that they do not account for.
        """
        try:
            super().after_load_checkpoint(runner, checkpoint)
        except CheckpointMismatchError as error:
            state = strip_wrappers(checkpoint, error.source)
            raise explained(error, state, model_of(runner), **self.options) from error

    def read(self, runner: Runner, checkpoint: dict) -> dict[str, Tensor]:
        """Return the weights in our layout, with the model's own class rows where fine-tuning draws them anew."""
        state = super().read(runner, checkpoint)
        # else weights are tested, resumed, or the best of this training
        starting = isinstance(runner._train_loop, BaseLoop) and not runner._resume and runner.iter == 0
        if not (self.new_classes and starting):
            return state
        source = source_of(checkpoint)
        stored = checkpoint.get("meta", {}).get("dataset_meta") or {}
        contiguous = self.options.get("contiguous", False)
        names = class_names(strip_wrappers(checkpoint, source), contiguous) or stored.get("classes")
        here = metainfo_of(runner).get("classes")
        fresh = _initial_rows(state, model_of(runner), bool(names and here) and tuple(names) != tuple(here))
        if fresh:
            runner.logger.info(
                f"{source}: its classes are others, so {len(fresh)} weights are drawn anew: {', '.join(fresh)}"
            )
        elif not names:
            runner.logger.warning(
                f"{source} does not name its classes: they are as many as here, so what belongs to them is kept"
            )
        return state | fresh


def _initial_rows(state: Mapping[str, Tensor], model: nn.Module, all_of_them: bool) -> dict[str, Tensor]:
    """Return the model's own class rows: all that a file has too, or those of another number of classes."""
    return {
        key: value
        for key, value in model.state_dict().items()
        if is_class_row(key)
        and key in state
        and state[key].shape[1:] == value.shape[1:]
        and (all_of_them or len(state[key]) != len(value))
    }
