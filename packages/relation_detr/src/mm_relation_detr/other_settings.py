"""Which detector a checkpoint holds that does not fit: the settings that its shapes show, instead of all its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from mm_relation_detr.checkpoint import from_official, infer_config, is_official, target
from mmrepro.checkpoint import CheckpointMismatchError, differences

_CLASSES = "bbox_head.num_classes"
# without them shapes say little of a detector
_WITNESSES = ("level_embed", "bbox_head.cls_branches.0.weight")
_OFFICIAL_WITNESSES = ("transformer.level_embeds", "transformer.decoder.class_head.0.weight")


def explained(
    error: CheckpointMismatchError, state: Mapping[str, Tensor], model: nn.Module, **options: Any
) -> CheckpointMismatchError:
    """Return the error that names the settings in which a file and a model differ, and how to set them.

    Keys are listed that would not fit with those settings either.

    Args:
        error: what does not fit, key by key; it is returned where no setting differs.
        state: the file's state dict, in either layout.
        model: the model that was to be filled.
        options: of :func:`mm_relation_detr.checkpoint.from_official`, for an official file.
    """
    options = options if is_official(state) else {}
    try:
        lines = _other_settings(state, model, options)
    except ValueError:  # contiguous=True of a file that does not say which rows are classes
        lines = []
    if not lines:
        return error
    return CheckpointMismatchError(
        error.source, {"it is another detector than the config's": lines} | _own_faults(state, options)
    )


def _other_settings(state: Mapping[str, Tensor], model: nn.Module, options: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that differs."""
    if any(key not in state for key in (_OFFICIAL_WITNESSES if is_official(state) else _WITNESSES)):
        return []
    found = dict(_flat(infer_config(state, **options)["model"]))
    here = dict(_flat(infer_config(model.state_dict())["model"]))
    names = [name for name in found | here if found.get(name) != here.get(name)]
    if "backbone.type" in names:
        names = ["backbone.type", *(name for name in names if not name.startswith(("backbone.", "neck.in_channels")))]
    lines = [
        f"{name}: {found.get(name)!r} in the file, {here.get(name)!r} in the config. Fix: set model.{name}"
        for name in names
    ]
    if _CLASSES in names:
        lines.append(
            "to train on other classes from these weights, set new_classes=True of RelationLoadHook in custom_hooks: "
            "what belongs to the classes is then drawn anew"
        )
    return lines


def _own_faults(state: Mapping[str, Tensor], options: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """Return what does not fit the detector that the file's own shapes show."""
    whole = target(state, **options)
    if not is_official(state):
        return differences(state, whole)
    try:
        from_official(state, whole, **options)
    except CheckpointMismatchError as error:
        return error.problems
    return {}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings by their dotted names."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
