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

    ``.csv``: below one line of names, a column of dates (or of whatever) and then one per variate, separated by commas
    or semicolons; ``.txt``: numbers alone; both may end in ``.gz``. ``.npz``: an array ``data`` (rows, variates, ...).
    ``.mat``: a picture ``input`` (height, width, variates), whose rows are its pixels; scipy reads it.

    Raises:
        ValueError: the file is not what its name says; the text says how.
    """
    try:
        if path.suffix == ".npz":
            return _of_array(path)
        if path.suffix == ".mat":
            return _of_picture(path)
        return _of_text(path)
    except (EOFError, KeyError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as fault:
        raise ValueError(str(fault)) from fault


def _of_text(path: Path) -> tuple[int, int]:
    named = path.name.removesuffix(".gz").endswith(".csv")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
        first = stream.readline()
        columns = max(first.count(b","), first.count(b";")) + 1
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


def _of_picture(path: Path) -> tuple[int, int]:
    """Read the variables' headers alone, whatever their size."""
    from scipy.io import whosmat  # of the papers that have such files, not of the core
    from scipy.io.matlab import MatReadError

    try:
        shape = {name: shape for name, shape, _ in whosmat(path)}["input"]
    except (MatReadError, NotImplementedError, TypeError) as fault:
        raise ValueError(f"not a MATLAB file up to version 7.2: {fault}") from fault
    if len(shape) != 3:
        raise ValueError(f"'input' has shape {shape}, not (height, width, variates)")
    return shape[0] * shape[1], shape[2]
