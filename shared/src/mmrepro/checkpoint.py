"""Checkpoint files: official ones become ours and back, by the rules of :mod:`mmrepro.key_rules`, without running code.

A paper's converter imports from here: the rules, :func:`convert`, :func:`strip_wrappers`. Reading is
:func:`mmrepro.safe_loading.load`. The converter is the module ``<module>.checkpoint``, with these functions, whose
keyword-only parameters are the options that a user may give:

- ``is_official(state)``: whether the keys are the official code's.
- ``from_official(state, target=None, source="the checkpoint")``: our state dict; ``target`` and ``source`` go to
  :func:`convert`.
- ``to_official(state)``: the official state dict for one of ours.
- ``infer_config(state)``: what the shapes say of the model, for the meta; either layout, however incomplete.
- ``target(state)``: the model of those sizes on the meta device, whose keys and shapes a file must fill.
- ``require_official(meta, source)``, which a paper may leave out: raises CheckpointMismatchError for a checkpoint of
  ours that the official code has no network for, where its keys do not show that.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from mmrepro import __version__, papers
from mmrepro.key_rules import (
    Alias,
    CheckpointMismatchError,
    Drop,
    Join,
    KeyRules,
    Rename,
    Split,
    Squeeze,
    State,
    Transpose,
    convert,
    differences,
)
from mmrepro.safe_loading import UnreadableCheckpointError, load

__all__ = [
    "Alias",
    "CheckpointMismatchError",
    "Drop",
    "Join",
    "KeyRules",
    "Rename",
    "Split",
    "Squeeze",
    "Transpose",
    "check_options",
    "convert",
    "convert_file",
    "differences",
    "save",
    "strip_wrappers",
]

# Where official code keeps the state dict, the best first: averaged weights are what HAT evaluates.
_WRAPPERS = ("state_dict", "model", "params_ema", "params", "model_state")
_CONFIG_KEYS = ("cfg", "config")
_PRIVATE = (*_CONFIG_KEYS, "hook_msgs", "experiment_name", "time", "mmrepro")


def strip_wrappers(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> State:
    """Return the state dict inside a checkpoint: bare, or under one of the usual names; ``module.`` is stripped.

    Raises:
        UnreadableCheckpointError: nothing in it is a state dict.
    """
    if not isinstance(checkpoint, Mapping):
        kind = type(checkpoint).__name__
        raise UnreadableCheckpointError(f"{source} holds a {kind} instead of tensors by their names")
    wrapped = (checkpoint[name] for name in _WRAPPERS if isinstance(checkpoint.get(name), Mapping))
    state = next(wrapped, checkpoint)
    odd = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if odd or not state:
        raise UnreadableCheckpointError(
            f"{source} has no state dict: looked for {', '.join(_WRAPPERS)} or bare tensors, found {', '.join(odd[:8])}"
        )
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def save(path: str | Path, state_dict: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all: to a temporary name, then moved into place.

    Args:
        path: the file.
        state_dict: tensors; second names of one tensor are stored twice.
        meta: what JSON can hold, one entry of the file's metadata each.

    Raises:
        ValueError: the meta has config code, which published files do not carry, or something that JSON cannot hold.
    """
    from safetensors.torch import save_file

    code = [key for key in _CONFIG_KEYS if key in meta]
    if code:
        raise ValueError(f"meta[{code[0]!r}] is config code; checkpoints are published without it")
    tensors = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for key, tensor in state_dict.items()
    }
    texts = {key: _as_json(key, value) for key, value in {**meta, "mmrepro": __version__}.items()}
    _replace(Path(path), lambda temporary: save_file(tensors, temporary, metadata=texts))


def check_options(options: Mapping[str, Any], *functions: Callable) -> None:
    """Compare options with the keyword-only parameters of a converter's functions.

    Raises:
        ValueError: an unknown name or a value of another type than the annotation; the known ones are listed.
    """
    known: dict[str, Any] = {}
    for function in functions:
        hints = get_type_hints(function)
        known |= {name: hints.get(name, Any) for name in _option_names(function)}
    listed = ", ".join(f"{name} ({_in_words(hint)})" for name, hint in sorted(known.items())) or "none"
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"there is no option {name!r} here; known options: {listed}")
        if not _is_of(value, known[name]):
            raise ValueError(f"{name}={value!r} is not of its type; known options: {listed}")


def convert_file(
    paper: str, src: str | Path, dst: str | Path, /, to_official: bool = False, **options: Any
) -> dict[str, Any]:
    """Convert a checkpoint file of a paper to ours as safetensors, or back to the official layout.

    Args:
        paper: the paper's name.
        src: an official file, or one of ours (mmengine's kind or safetensors), which is published without its config.
        dst: ``.safetensors``; with ``to_official`` also ``.pth``, a bare state dict, which the official code reads.
        to_official: write the official layout.
        **options: keyword-only parameters of the paper's converter, for example ``n_heads``, which official files
            lack: of ``from_official`` and ``infer_config`` for an official file, of ``to_official`` on the way back.

    Returns:
        The meta that was written.

    Raises:
        CheckpointMismatchError: a key is not accounted for, the file does not fill the model of its sizes, or it is of
            a network that the official code does not have.
        ValueError: the destination's suffix, an option, or the source is in the official layout already.
    """
    allowed = (".safetensors", ".pth") if to_official else (".safetensors",)
    if Path(dst).suffix not in allowed:
        raise ValueError(f"{dst} must end in {' or '.join(allowed)}")
    converter = importlib.import_module(papers.module(paper) + ".checkpoint")
    checkpoint = load(src)
    state = strip_wrappers(checkpoint, str(src))
    official = converter.is_official(state)
    if to_official and official:
        raise ValueError(f"{src} is in the official layout already")
    if official:
        check_options(options, converter.from_official, converter.infer_config)
        meta = {"paper": papers.canonical(paper), "converted_from": Path(src).name}
        meta |= converter.infer_config(state, **_taken(converter.infer_config, options))
        target = converter.target(state, **_taken(converter.target, options))
        state = converter.from_official(state, target, str(src), **_taken(converter.from_official, options))
    else:
        check_options(options, *([converter.to_official] if to_official else []))
        problems = differences(state, converter.target(state))
        if any(problems.values()):
            raise CheckpointMismatchError(str(src), problems)
        meta = {"paper": papers.canonical(paper)} | _publishable(checkpoint.get("meta", {}))
    if to_official:
        if hasattr(converter, "require_official"):
            converter.require_official(meta, str(src))
        state, meta = converter.to_official(state, **options), {}
    if Path(dst).suffix == ".pth":
        parts = {key: tensor.clone() for key, tensor in state.items()}  # not views of one storage
        _replace(Path(dst), lambda temporary: torch.save(parts, temporary))
    else:
        save(dst, state, meta)
    return meta


def _publishable(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of mmengine's meta is worth publishing: not its config, not when and where the training ran."""
    kept = {key: _without_folders(value) for key, value in meta.items() if key not in _PRIVATE}
    dataset = kept.get("dataset_meta")
    if isinstance(dataset, dict) and isinstance(dataset.get("data"), str):  # a name or a path, maybe a relative one
        kept["dataset_meta"] = dataset | {"data": PureWindowsPath(dataset["data"]).name}
    return kept


def _without_folders(value: Any) -> Any:
    """Return a value in which full paths, at any depth, are base names."""
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name  # which knows both separators
    return value


def _option_names(function: Callable) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _taken(function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _option_names(function) if name in options}


def _is_of(value: Any, hint: Any) -> bool:
    """Return whether a value is of an annotation's type; a bool is no int."""
    if hint is Any:
        return True
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_args(hint):  # int | None
        return any(_is_of(value, one) for one in get_args(hint))
    return type(value) is hint or (hint is float and type(value) is int)


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    parts = [one.__name__ for one in get_args(hint) or (hint,) if one is not type(None)]
    return " or ".join("true or false" if one == "bool" else one for one in parts)


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _as_json(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:
        raise ValueError(f"meta[{key!r}] cannot be written as JSON: {error}") from error
