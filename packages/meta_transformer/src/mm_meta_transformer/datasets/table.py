"""Reading a table of categories and numbers from delimited text, with errors that name the file and the line."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mm_meta_transformer.datasets.data_error import DataError

MISSING = ("?", "")
Missing = Literal["drop", "unseen", "error"]


class TableError(DataError):
    """A file cannot be used as a table; the text names the file, the line or column, and the fix."""


class TableWarning(UserWarning):
    """A table can be used, but something in it deserves a look."""


def column_name(name: object) -> str:
    """Return a column's name as :func:`read_table` has it, without blanks around it and in lower case."""
    return str(name).strip().lower()


def read_table(
    path: str | Path, names: Sequence[str] | None = None, separator: str = ",", comment: str | None = None
) -> pd.DataFrame:
    """Return a file's rows as stripped text in lower case, as the official scripts read them; ``.gz`` too.

    Names of columns are in lower case too. Blank lines are left out. The index holds the lines' numbers, from 1.

    Args:
        path: the file; where it is not there, the packed one with ``.gz`` behind its name.
        names: of the columns, for a file whose first line does not name them; a first line is left out nevertheless if
            its first cell is not a number while that of the second is one. ``None``: the first line has the names.
        separator: between cells.
        comment: what begins a line that says nothing.

    Raises:
        FileNotFoundError: no such file.
        TableError: it is empty or no text, or a line has another number of cells than there are names.
    """
    path, packed = Path(path), Path(f"{path}.gz")
    if packed.is_file() and not path.is_file():
        path = packed
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. Fix: check the path; mmrepro data list says where sets come from"
        )
    try:
        lines = _lines(path, separator, comment)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as fault:
        raise TableError(
            f"{path} cannot be read as text separated by {separator!r}: {fault}. Fix: save it as UTF-8 text"
        ) from fault
    header = names is None or (len(lines) > 1 and not _is_number(lines[0][1][0]) and _is_number(lines[1][1][0]))
    columns = list(map(column_name, names)) if names is not None else [cell for _, cells in lines[:1] for cell in cells]
    rows = lines[1:] if header else lines
    if not rows:
        raise TableError(f"{path} has no rows. Fix: a complete copy of the file")
    for number, cells in rows:
        if len(cells) != len(columns):
            raise TableError(
                f"{path}, line {number}: it has {len(cells)} cells, expected {len(columns)}: {', '.join(columns)}. "
                "Fix: the line, or separator"
            )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise TableError(f"{path} has several columns called {', '.join(twice)}. Fix: rename them, or names=")
    return pd.DataFrame([cells for _, cells in rows], [number for number, _ in rows], columns, dtype=str)


def without_missing(
    frame: pd.DataFrame, path: str, missing: Missing = "drop", marks: Sequence[str] = MISSING
) -> pd.DataFrame:
    """Return a table in which a missing cell, if any is left, is the empty text.

    Args:
        frame: the table, cells as text.
        path: what warnings and errors call it.
        missing: ``"drop"``, rows with a missing cell are left out, and a :class:`TableWarning` counts them (official);
            ``"unseen"``, they stay: a category is then an unseen one, a number the mean of the training rows;
            ``"error"``.
        marks: the texts that stand for a missing cell.

    Raises:
        TableError: a cell is missing and may not be, or no row is left.
        DataError: ``missing`` is unknown.
    """
    if missing not in ("drop", "unseen", "error"):
        raise DataError(f"missing={missing!r} is not known. Fix: 'drop', 'unseen' or 'error'")
    absent = frame.isin(list(marks))
    rows = absent.any(axis=1)
    if not rows.any():
        return frame
    counts = ", ".join(f"{name!r} {count}" for name, count in absent.sum().items() if count)
    if missing == "error":
        raise TableError(
            f"{path}, line {rows.idxmax()}: a value is missing ({counts}). Fix: missing='drop' or 'unseen'"
        )
    if rows.all() and missing == "drop":
        raise TableError(f"{path}: every row lacks a value ({counts}). Fix: missing='unseen', or drop those columns")
    what = "are left out" if missing == "drop" else "keep their place as unseen ones"
    warnings.warn(
        f"{path}: {rows.sum()} of {len(rows)} rows lack a value and {what}: {counts}", TableWarning, stacklevel=2
    )
    return frame[~rows] if missing == "drop" else frame.mask(absent, "")


def numbers(frame: pd.DataFrame, column: str, path: str) -> np.ndarray:
    """Return a column ``(R,)`` float64; NaN where the text is empty.

    Raises:
        TableError: a cell is no finite number.
    """
    values = pd.to_numeric(frame[column].replace("", "nan"), errors="coerce").to_numpy(np.float64)
    odd = ~np.isfinite(values) & (frame[column] != "").to_numpy()
    if odd.any():
        place = int(odd.argmax())
        raise TableError(
            f"{path}, line {frame.index[place]}: {column!r} is {frame[column].iat[place]!r}, no finite number. "
            "Fix: correct it, or leave the column out of continuous"
        )
    return values


def _lines(path: Path, separator: str, comment: str | None) -> list[tuple[int, list[str]]]:
    """Return number and cells of each line that says something."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, skipinitialspace=True)
        found = [(reader.line_num, [cell.strip().lower() for cell in cells]) for cells in reader]
    said = [(number, cells) for number, cells in found if any(cells)]
    return [line for line in said if comment is None or not line[1][0].startswith(comment)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
