"""The import finder that serves ``mmcv._ext`` where mmcv was installed without its compiled operators.

mmcv's Python loads its operators from a compiled module ``mmcv._ext``, of which no package index has wheels: without it
``import mmcv.ops``, and with it all of mmdet and mmsegmentation, fails. The finder stands at the end of
``sys.meta_path``, so that a compiled module always wins. ``import mmrepro`` installs it; only the standard library is
needed until an operator is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# importlib.abc would cost ten times as much as all of this: finder and loader are such by their methods

EXTENSION = "mmcv._ext"


class ServedOperators:
    """Fills the module ``mmcv._ext``: each attribute that is asked for is an operator of :mod:`mmrepro.ops.ext`."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the creation of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its attributes."""
        module.__doc__ = "mmcv's operators without a compiler, served by mmrepro."
        module.__getattr__ = _operator


class MmcvExtensionFinder:
    """Finds ``mmcv._ext`` and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of ``mmcv._ext``, and None for any other module."""
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, ServedOperators(), origin="mmrepro.ops.ext")


def install() -> None:
    """Append the finder to ``sys.meta_path`` unless it is there."""
    if not any(isinstance(finder, MmcvExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.append(MmcvExtensionFinder())


def is_served(module: ModuleType) -> bool:
    """Return whether a module ``mmcv._ext`` is ours rather than a compiled one."""
    return isinstance(getattr(module.__spec__, "loader", None), ServedOperators)


def _operator(name: str) -> Callable:
    # Python and test tools look for dunder names in every module; mmcv has no operator that begins with an underscore.
    if name.startswith("_"):
        raise AttributeError(f"module {EXTENSION!r} has no attribute {name!r}")
    from mmrepro.ops import ext

    return ext.operator(name)
