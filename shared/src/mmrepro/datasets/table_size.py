"""How many rows and variates a data file has, without reading its values.

This is what is checked of a published file whose checksum nobody has published.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np


def table_size(path: Path) -> tuple[int, int]:
    """Return rows and variates of a file, by its name.

    ``.csv``: below one line of names, a column of dates and then one per variate; ``.txt``: numbers alone; both may end
    in ``.gz``. ``.npz``: an array ``data`` (rows, variates, ...).

    Raises:
        ValueError: the file is not what its name says; the text says how.
    """
    try:
        if path.suffix == ".npz":
            return _of_array(path)
        return _of_text(path)
    except (EOFError, KeyError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as fault:
        raise ValueError(str(fault)) from fault


def _of_text(path: Path) -> tuple[int, int]:
    named = path.name.removesuffix(".gz").endswith(".csv")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
        columns = stream.readline().count(b",") + 1
        rows = sum(not line.isspace() for line in stream)
    return (rows, columns - 1) if named else (rows + 1, columns)


def _of_array(path: Path) -> tuple[int, int]:
    """Read the array's header alone, whatever its size."""
    with zipfile.ZipFile(path) as arrays, arrays.open("data.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape = read[version](stream)[0]
    if len(shape) < 2:
        raise ValueError(f"'data' has shape {shape}, not (rows, variates, ...)")
    return shape[0], shape[1]
