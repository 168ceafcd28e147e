"""A package's parity adapter, ``tests/parity.py``, loaded by its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_adapter(package_root: str | Path) -> ModuleType:
    """Load the adapter of the package at ``package_root``; its ``run(manifest, state, inputs)`` serves the cases.

    The module's name holds the package's, so the adapters of several packages live side by side.

    Raises:
        FileNotFoundError: the package has no ``tests/parity.py``.
    """
    path = Path(package_root).resolve() / "tests" / "parity.py"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: the package has no parity adapter")
    name = f"mmrepro_parity_{path.parent.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    spec.loader.exec_module(module)
    return module
