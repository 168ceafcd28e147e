"""Finding pictures that are missing, empty or cut off: by a listing, by the ends of each file, by decoding one."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

_OTHER_HEADS = (b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")  # WebP, BMP, TIFF, GIF, whatever the suffix says
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


def faults_of_files(paths: Iterable[str]) -> dict[str, str]:
    """Return which local pictures are missing, empty, no pictures or cut off, and which of these each is."""
    paths = list(paths)
    missing = set(missing_files(paths))
    found = ((path, "missing" if path in missing else fault_of_file(path)) for path in paths)
    return {path: fault for path, fault in found if fault is not None}


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
        named_so = path.suffix.lower() in {".jpg", ".jpeg", ".png"} and not head.startswith(_OTHER_HEADS)
        return "no picture" if named_so else None
    if _ENDS[kind] in tail or (kind == "JPEG" and decoding_fault(path) is None):  # some cameras append a film
        return None
    return "cut off"


def decoding_fault(path: str | Path) -> str | None:
    """Return why a picture cannot be decoded; None if it can."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's, by format
        return f"cannot be decoded ({error})"
    return None
