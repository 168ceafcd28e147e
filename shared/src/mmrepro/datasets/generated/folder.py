"""Where generated pictures are written: a temporary folder for as long as the process lives."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def temporary_folder(name: str, count: int, *parts: str) -> Path:
    """Return a new folder, which is removed when the process ends.

    Args:
        name: what its pictures are, part of its own name.
        count: how many pictures are asked for.
        parts: folders that are made in it.

    Raises:
        ValueError: no picture is asked for.
    """
    if count < 1:
        raise ValueError(f"count={count} must be at least 1")
    folder = Path(tempfile.mkdtemp(prefix=f"mmrepro_{name}_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for part in parts:
        (folder / part).mkdir()
    return folder
