"""Loading weights into a detector: official files become ours, every key must fit, and misfits are called by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mm_relation_detr.checkpoint import class_names, from_official, infer_config, is_official
from mm_relation_detr.class_rows import is_class_row
from mmrepro.checkpoint import CheckpointMismatchError, strip_wrappers
from mmrepro.engine.strict_load_hook import StrictLoadHook
from mmrepro.safe_loading import source_of

_CLASSES = "bbox_head.num_classes"
_WITNESSES = ("level_embed", "bbox_head.cls_branches.0.weight")  # without them shapes say little of a detector


@HOOKS.register_module()
class RelationLoadHook(StrictLoadHook):
    """``StrictLoadHook`` that says which detector a file holds if it is another one, and that starts fine-tuning.

    Args:
        new_classes: start a training from a detector of other classes. What belongs to the classes (class heads, and
            the label embedding of the denoising) keeps its initial values where the number of classes is another or
            their names are, and the log lists it. Testing and resuming stay strict: no one trained those values.
        kwargs: everything else as in ``StrictLoadHook``.
    """

    def __init__(self, new_classes: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"paper": "relation_detr", **kwargs})
        self.new_classes = new_classes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put our state dict under ``state_dict``, checked.

        Raises:
            CheckpointMismatchError: with the file's name, and the settings that its shapes show to be others; or where
                there are none, every key at fault.
        """
        source = source_of(checkpoint)
        state = strip_wrappers(checkpoint, source)
        names = class_names(state) or checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # else weights are tested, resumed, or the best of this training
        starting = isinstance(runner._train_loop, BaseLoop) and not runner._resume and runner.iter == 0
        if self.new_classes and starting:
            if is_official(state):
                state = from_official(state, source=source, **self.options)
            here = getattr(runner._train_loop.dataloader.dataset, "metainfo", {}).get("classes")
            fresh = _initial_rows(state, model, bool(names and here) and tuple(names) != tuple(here))
            if fresh:
                runner.logger.info(
                    f"{source}: its classes are others, so {len(fresh)} weights are drawn anew: {', '.join(fresh)}"
                )
            checkpoint["state_dict"] = state | fresh
        try:
            super().after_load_checkpoint(runner, checkpoint)
        except CheckpointMismatchError as error:
            lines = _other_settings(state, model)
            if not lines:
                raise
            raise CheckpointMismatchError(source, {"it is another detector than the config's": lines}) from error


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


def _other_settings(state: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Return a line for each setting in which a file, in either layout, and a model differ by their shapes."""
    if is_official(state):
        state = from_official(state)
    if any(key not in state for key in _WITNESSES):
        return []
    found, here = (dict(_flat(infer_config(each)["model"])) for each in (state, model.state_dict()))
    names = [name for name in found | here if found.get(name) != here.get(name)]
    if "backbone.type" in names:
        names = ["backbone.type", *(name for name in names if not name.startswith(("backbone.", "neck.in_channels")))]
    lines = [
        f"{name}: {found.get(name)!r} in the file, {here.get(name)!r} in the config. Fix: set model.{name}"
        for name in sorted(names, key=lambda name: name != "type")
    ]
    if _CLASSES in names:
        lines.append(
            "to train on other classes from these weights, set new_classes=True of RelationLoadHook in custom_hooks: "
            "what belongs to the classes is then drawn anew"
        )
    return lines


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings by their dotted names."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
