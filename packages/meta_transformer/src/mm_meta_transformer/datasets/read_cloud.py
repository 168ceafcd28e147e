"""Reading the points of one cloud from a text file or a NumPy array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mm_meta_transformer.datasets.data_error import DataError

ENDINGS = (".npy", ".txt", ".xyz", ".csv")


class CloudError(DataError):
    """A file cannot be used as a cloud; the error names the file, the line and the fix."""


def read_cloud(path: str | Path, columns: int = 3) -> np.ndarray:
    """Return the points ``(N, 3)`` float32 of a file: the first three columns, whatever stands behind them.

    A text has one point on each line, numbers with blanks, commas or semicolons between them; blank lines and those
    that begin with ``#`` or ``//`` say nothing.

    Args:
        path: a ``.npy`` file, or a text.
        columns: more than three for colours or normals.

    Raises:
        FileNotFoundError: no such file.
        CloudError: it is no table of numbers with as many columns or more, has no point, or one that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
    points = _of_array(path, columns) if path.suffix.lower() == ".npy" else _of_text(path, columns)
    broken = np.flatnonzero(~np.isfinite(points).all(1))
    if len(broken):
        raise CloudError(f"{path}: point {broken[0]} is {points[broken[0]].tolist()}. Fix: leave it out")
    return points


def _of_array(path: Path, columns: int) -> np.ndarray:
    try:
        values = np.load(path)
    except (ValueError, EOFError, OSError) as fault:
        raise CloudError(f"{path} cannot be read as an array: {fault}. Fix: write it with numpy.save") from fault
    if values.ndim != 2 or values.shape[1] < columns or not len(values) or values.dtype.kind not in "fiu":
        raise CloudError(
            f"{path} is {values.dtype} of {values.shape}. Fix: numbers (N, {columns}), a point in each row"
        )
    return values[:, :columns].astype(np.float32)


def _of_text(path: Path, columns: int) -> np.ndarray:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as fault:
        raise CloudError(f"{path} is no text. Fix: one of {', '.join(ENDINGS)}") from fault
    points = []
    for number, line in enumerate(lines, 1):
        cells = line.replace(",", " ").replace(";", " ").split()
        if not cells or cells[0].startswith(("#", "//")):
            continue
        try:
            points.append([float(cell) for cell in cells[:columns]])
        except ValueError as fault:
            raise CloudError(f"{path}, line {number}: {fault}. Fix: a number, or a line that begins with #") from fault
        if len(cells) < columns:
            raise CloudError(
                f"{path}, line {number}: {len(cells)} numbers. Fix: x, y and z of a point, {columns} numbers in all"
            )
    if not points:
        raise CloudError(f"{path} has no point. Fix: leave the file out")
    return np.array(points, np.float32)
