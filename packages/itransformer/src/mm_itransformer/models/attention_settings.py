"""What a checkpoint must say of the attention that it was trained with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import MODELS

# Those that share their weights' names, as do iTransformer, iInformer, iFlowformer and iFlashformer; and iReformer's
JOINT_ATTENTIONS = ("FullAttention", "ProbSparseAttention", "FlowAttention", "FlashAttention")
LSH_ATTENTION = "LSHAttention"
# The layer's, not the attention's own; dropout leaves the weights' meaning as it is.
_SHARED = ("d_model", "n_heads", "dropout")


def attention_settings(attention: Mapping[str, Any]) -> dict[str, Any]:
    """Return the registry config of an attention with all its own arguments, those at their defaults included.

    Args:
        attention: ``type``, a name in mmengine's ``MODELS`` or a class, and arguments.

    Raises:
        ValueError: there is no such attention.
    """
    cls = _class_of(attention)
    parameters = inspect.signature(cls).parameters
    own = {name: parameter.default for name, parameter in parameters.items() if name not in _SHARED}
    given = {name: value for name, value in attention.items() if name not in _SHARED}
    return own | given | {"type": cls.__name__}


def gives_map(attention: Mapping[str, Any]) -> bool:
    """Return whether an attention, named as in :func:`attention_settings`, says which token attends to which."""
    return getattr(_class_of(attention), "gives_map", True)


def _class_of(attention: Mapping[str, Any]) -> type:
    kind = attention.get("type")
    cls = kind if isinstance(kind, type) else MODELS.get(str(kind))
    if cls is None:
        known = ", ".join((*JOINT_ATTENTIONS, LSH_ATTENTION))
        raise ValueError(f"attention type={kind!r} is not known. Fix: set attention.type to one of {known}")
    return cls
