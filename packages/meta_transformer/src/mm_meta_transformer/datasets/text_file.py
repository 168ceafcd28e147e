"""Reading a whole text file, with an error that names it."""

from __future__ import annotations

from pathlib import Path

from mm_meta_transformer.datasets.data_error import DataError


def read_text(path: Path) -> str:
    """Return a file's text, UTF-8 with or without a byte order mark.

    Raises:
        DataError: it is no such text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path} cannot be read as text: {fault}. Fix: save it as UTF-8") from fault
