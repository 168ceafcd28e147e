"""Libraries for the file formats of single papers: the core does without them until such a file is written."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def library(module: str, distribution: str, files: str) -> ModuleType:
    """Return a module that the core does not require.

    Args:
        module: its name.
        distribution: what to install.
        files: what is written by it.

    Raises:
        ModuleNotFoundError: it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{files} are written by {distribution}, which is not installed. Fix: pip install {distribution}",
            name=error.name,
        ) from error
