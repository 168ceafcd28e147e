"""A file backend of mmengine that moves whole files into place: a kill leaves the old or the new one, never half."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

NAME = "mmrepro.atomic"


def write_atomically(content: bytes, path: str | Path) -> None:
    """Write a file under a temporary name in the same folder, flush it to the disk, and move it into place.

    A write that fails leaves nothing but the old file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")  # what a kill leaves behind is written over by the next attempt
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@register_backend(NAME, force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend with an atomic ``put``."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``, whole or not at all."""
        write_atomically(obj, filepath)
