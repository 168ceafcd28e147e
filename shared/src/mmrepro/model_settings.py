"""What a model is beside the shapes of its weights: read from a checkpoint's meta, compared with what is wanted.

A setting that shows in no shape, such as a scale or a window, would load without an error and give other results:
checkpoints of ours carry it under ``meta.model``, where :class:`mmrepro.engine.model_settings_hook.ModelSettingsHook`
puts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mmrepro.key_rules import CheckpointMismatchError


def stored_settings(meta: Any, part: str, names: Iterable[str]) -> dict[str, Any]:
    """Return what the meta of a checkpoint of ours says of a part of the model; nothing for any other file.

    Args:
        meta: of a loaded checkpoint, whatever it is.
        part: the part's name, ``backbone``.
        names: which of its settings.
    """
    model = meta.get("model") if isinstance(meta, Mapping) else None
    stored = model.get(part) if isinstance(model, Mapping) else None
    return {name: stored[name] for name in names if name in stored} if isinstance(stored, Mapping) else {}


def require_same_settings(
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    source: str,
    kinds: tuple[str, str],
    line: Callable[[str, Any, Any], str],
    skip: Callable[[str], bool],
) -> None:
    """Compare the settings that a file and a config both say.

    Args:
        there: the file's, by name.
        here: the config's.
        source: the file.
        kinds: what people call the file's model and the config's.
        line: makes the sentence for a setting of its name, the file's value and the config's, with what to set.
        skip: whether a setting of that name may differ.

    Raises:
        CheckpointMismatchError: some differ: both models are named, and each setting.
    """
    names = [name for name in there if name in here and there[name] != here[name] and not skip(name)]
    if names:
        kind = f"the file is {kinds[0]}, the config {kinds[1]}"
        raise CheckpointMismatchError(source, {kind: [line(name, there[name], here[name]) for name in names]})
