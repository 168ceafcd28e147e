"""Checkpoint files: official ones become ours and back, by the rules of :mod:`mmrepro.key_rules`, without running code.

A paper's converter imports from here: the rules, :func:`convert`, :func:`strip_wrappers`. Reading is
:func:`mmrepro.safe_loading.load`.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
    "convert",
    "convert_file",
    "differences",
    "save",
    "strip_wrappers",
]

# Where official code keeps the state dict, the best first: averaged weights are what HAT evaluates.
_WRAPPERS = ("state_dict", "model", "params_ema", "params", "model_state")
_CONFIG_KEYS = ("cfg", "config")


def strip_wrappers(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> State:
    """Return the state dict inside a checkpoint: bare, or under one of the usual names; ``module.`` is stripped.

    Raises:
        UnreadableCheckpointError: nothing in it is a state dict.
    """
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


def convert_file(
    paper: str, src: str | Path, dst: str | Path, to_official: bool = False, **options: Any
) -> dict[str, Any]:
    """Convert a checkpoint file of a paper to ours as safetensors, or back to the official layout.

    Args:
        paper: the paper's name.
        src: an official file, or one of ours (mmengine's kind or safetensors), which is published without its config.
        dst: ``.safetensors``; with ``to_official`` also ``.pth``, a bare state dict, which the official code reads.
        to_official: write the official layout.
        **options: what the paper's converter takes because official files lack it, for example ``n_heads``.

    Returns:
        The meta that was written.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
        ValueError: the destination's suffix, or the source is in the wanted layout already.
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
    if to_official:
        state, meta = converter.to_official(state), {}
    elif official:
        meta = {"paper": papers.canonical(paper), "converted_from": Path(src).name}
        meta |= converter.infer_config(state, **options)
        state = converter.from_official(state, **options)
    else:
        converter.to_official(state)  # accounts for every key
        meta = {"paper": papers.canonical(paper)} | _publishable(checkpoint.get("meta", {}))
    if Path(dst).suffix == ".pth":
        parts = {key: tensor.clone() for key, tensor in state.items()}  # not views of one storage
        _replace(Path(dst), lambda temporary: torch.save(parts, temporary))
    else:
        save(dst, state, meta)
    return meta


def _publishable(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of mmengine's meta is worth publishing; its config and the paths in its hooks' messages are not."""
    return {key: value for key, value in meta.items() if key not in (*_CONFIG_KEYS, "hook_msgs", "mmrepro")}


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
