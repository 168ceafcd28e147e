"""Official checkpoints to ours and back, of every kind of file that the official repository writes or reads.

Each kind has a module of :mod:`mm_meta_transformer.checkpoints` with ``matches(state)``, ``rules(state)``,
``infer_config(state)`` and, where official keys have no use, ``never_used(state)``. No list of them is kept: a module
put there is a kind. Official layouts: invictus717/MetaTransformer @ b08a2be.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer import checkpoints
from mmrepro.checkpoint import CheckpointMismatchError, convert, strip_wrappers


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official file of any kind, without wrappers and ``module.``."""
    return any(kind.matches(state) for kind in kinds().values())


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
) -> dict[str, Tensor]:
    """Return our state dict for an official one.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: the file is of no known kind, or a key is not accounted for.
    """
    state = strip_wrappers(state, source)
    return convert(state, _official_kind(state, source).rules(state), target, source)


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official state dict for one of ours.

    Raises:
        CheckpointMismatchError: the official repository has no such model.
    """
    return _as_official(state)[1]


def infer_config(state: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return ``{"model": config}``: a config that builds the model of a complete state dict in either layout.

    Raises:
        CheckpointMismatchError: it is of no known kind, or lacks a weight whose size is needed.
    """
    official = is_official(state)
    kind, state = (_official_kind(state, "the checkpoint"), state) if official else _as_official(state)
    try:
        return {"model": kind.infer_config(state)}
    except (KeyError, ValueError) as error:  # a weight is not there, or has not the dimensions that it should have
        line = f"{kind.__name__.rpartition('.')[2]}: {error}"
        raise CheckpointMismatchError("the checkpoint", {"its sizes cannot be read": [line]}) from error


def target(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the model, on the meta device, that has the sizes of a complete state dict in either layout.

    Raises:
        CheckpointMismatchError: see :func:`infer_config`.
    """
    config = infer_config(state)["model"]
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(config)


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that the official code never reads."""
    kind = _official_kind(state, "the checkpoint")
    return kind.never_used(state) if hasattr(kind, "never_used") else set()


@cache
def kinds() -> dict[str, ModuleType]:
    """Return the modules of the kinds of files by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(checkpoints.__path__))
    modules = {name: importlib.import_module(f"{checkpoints.__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "matches")}


def _official_kind(state: Mapping[str, Tensor], source: str) -> ModuleType:
    found = next((kind for kind in kinds().values() if kind.matches(state)), None)
    if found is None:
        raise CheckpointMismatchError(source, {"it is of no official kind": [_keys(state)]})
    return found


def _as_official(state: Mapping[str, Tensor]) -> tuple[ModuleType, dict[str, Tensor]]:
    """Return the kind whose rules make an official file of ours, and that file."""
    for kind in kinds().values():
        try:
            official = kind.rules(state).backward(state)
        except CheckpointMismatchError:
            continue
        if kind.matches(official):
            return kind, official
    raise CheckpointMismatchError("the checkpoint", {"the official repository has no such model": [_keys(state)]})


def _keys(state: Mapping[str, Tensor]) -> str:
    return f"its keys are {', '.join(list(state)[:3])}, ...; known kinds: {', '.join(kinds())}"
