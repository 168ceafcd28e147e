"""Operators without a compiler: deformable attention, and what OpenMMLab's libraries ask of ``mmcv._ext``.

Importing this package needs only the standard library; each operator is loaded when it is first asked for.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "ms_deform_attn": "mmrepro.ops.dispatch",
    "MultiScaleDeformableAttention": "mmrepro.ops.deformable_attention",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
