"""Finding pictures that are missing, empty or cut off without decoding them: a listing, or the ends of each file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEADS = {b"\xff\xd8": "JPEG", b"\x89PNG": "PNG"}
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 4096  # bytes in which the end marker stands; some programs append a few of their own


def missing_files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the local paths that are no files; each folder is listed once, which is cheap on network drives too."""
    of_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        of_folder[os.path.dirname(path)].append(path)
    for folder, files in of_folder.items():
        try:
            with os.scandir(folder or ".") as entries:
                names = {entry.name for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        yield from (path for path in files if os.path.basename(path) not in names)


def fault_of_file(path: str | Path) -> str | None:
    """Return what is wrong with a picture by its first and last bytes: missing, empty, no picture, cut off.

    Returns:
        None where nothing shows. Of formats other than JPEG and PNG only emptiness shows.
    """
    path = Path(path)
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if size == 0:
        return "empty"
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    kind = next((kind for start, kind in _HEADS.items() if head.startswith(start)), None)
    if kind is None:
        return "no picture" if path.suffix.lower() in {".jpg", ".jpeg", ".png"} else None
    return None if _ENDS[kind] in tail else "cut off"
