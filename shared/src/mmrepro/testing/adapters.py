"""A package's parity adapter, ``tests/parity.py``, loaded by its path."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np


def load_adapter(package_root: str | Path) -> ModuleType:
    """Load the adapter of the package at ``package_root``; its ``run(manifest, state, inputs)`` serves the cases.

    The module's name holds the package's, so the adapters of several packages live side by side.

    Raises:
        FileNotFoundError: the package has no ``tests/parity.py``.
    """
    path = Path(package_root).resolve() / "tests" / "parity.py"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: the package has no parity adapter")
    return _load(f"mmrepro_parity_{path.parent.parent.name}", path)


class SplitAdapter:
    """An adapter in several files: each kind of case is served by a function of its name in one of them.

    Args:
        folder: the ``tests`` folder of a package, where the files are.
        kinds: the kinds by the name of the file that serves them, without suffix.
    """

    def __init__(self, folder: Path, kinds: Mapping[str, Sequence[str]]) -> None:
        self.folder = folder
        self.files = {kind: file for file, served in kinds.items() for kind in served}
        self.part = cache(self._part)

    def run(self, manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
        """Compute what ``manifest["entry"]`` computes, by the case's names.

        Raises:
            ValueError: the package does not serve the case's kind.
        """
        kind = manifest["kind"]
        if kind not in self.files:
            raise ValueError(f"kind {kind!r} is not served; served are {sorted(self.files)}")
        return getattr(self.part(self.files[kind]), kind)(manifest, state, inputs)

    def _part(self, name: str) -> ModuleType:
        """Return one of the files as a module, loaded once."""
        return _load(f"mmrepro_{name}_{self.folder.parent.name}", self.folder / f"{name}.py")


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    spec.loader.exec_module(module)
    return module
