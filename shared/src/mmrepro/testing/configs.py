"""Loading many configs quickly."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

MEMORY = Path("/dev/shm")  # a file system in memory, on Linux


@cache
def load_config(path: str | Path) -> Config:
    """Return a config file, read once for each process: change a copy of it only.

    mmengine copies every file of the ``_base_`` chain to a temporary folder first. A set of hundreds of configs spends
    nearly all its time there where the disk is slow, so the copies are kept in memory if that is possible.
    """
    from mmengine.config import Config

    before = tempfile.tempdir
    if os.access(MEMORY, os.W_OK):
        tempfile.tempdir = str(MEMORY)
    try:
        return Config.fromfile(path)
    finally:
        tempfile.tempdir = before
