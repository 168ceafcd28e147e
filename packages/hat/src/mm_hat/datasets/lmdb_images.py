"""LMDB folders of image files, in BasicSR's layout.

A folder ``<name>.lmdb`` holds ``data.mdb``, ``lock.mdb`` and ``meta_info.txt``, one line ``<key>.png (h,w,c) level``
per image; a value is the encoded file. Paths into one are written ``<name>.lmdb/<key>``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mmrepro.engine.atomic_backend import write_atomically

SUFFIX = ".lmdb"
META = "meta_info.txt"
LEVEL = 1  # the PNG compression that the list names, as the official script writes it
_MAP_SLACK = 1 << 26


def split(path: str | Path) -> tuple[str, str] | None:
    """Return folder and key of a path into an LMDB folder, or None for any other path."""
    folder, found, key = str(path).partition(f"{SUFFIX}/")
    return (folder + SUFFIX, key) if found and key else None


def keys(folder: str | Path) -> list[str]:
    """Return the keys that a folder's list names, in the list's order.

    Raises:
        FileNotFoundError: the folder has no list.
    """
    meta = Path(folder) / META
    if not meta.is_file():
        raise FileNotFoundError(f"{meta}: no such list. Fix: give a folder that `write` or BasicSR's script has made")
    lines = meta.read_text(encoding="utf-8").splitlines()
    return [os.path.splitext(line.split(" ")[0])[0] for line in lines if line.strip()]


def read(folder: str | Path, key: str) -> bytes:
    """Return one image file.

    Raises:
        FileNotFoundError: there is no such folder.
        KeyError: the folder does not hold the key.
        ImportError: the package lmdb is not installed.
    """
    # An environment must not cross a fork, so each process opens its own.
    with _environment(str(folder), os.getpid()).begin(write=False) as transaction:
        content = transaction.get(key.encode())
    if content is None:
        raise KeyError(f"{folder} holds no {key!r}. Fix: write it again, its list and its contents differ")
    return content


def write(folder: str | Path, images: Iterable[tuple[str, bytes, tuple[int, int, int]]], size: int) -> int:
    """Write a folder of images; it appears whole or not at all.

    Args:
        folder: must end in ``.lmdb`` and not exist.
        images: key, encoded PNG file and its (h, w, c).
        size: bytes of all files together, or more.

    Returns:
        How many images were written.

    Raises:
        ValueError: the name has another suffix, or a key comes twice.
        FileExistsError: the folder is there.
        ImportError: the package lmdb is not installed.
    """
    folder = Path(folder)
    if folder.suffix != SUFFIX:
        raise ValueError(f"{folder} does not end in {SUFFIX}. Fix: name it {folder.name}{SUFFIX}")
    if folder.exists():
        raise FileExistsError(f"{folder} is there already. Fix: remove it, or choose another name")
    lmdb = package()
    unfinished = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    lines = []
    try:
        # Pages of 4096 bytes: a value takes at least one
        with (
            lmdb.open(str(unfinished), map_size=2 * size + _MAP_SLACK) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, content, shape in images:
                if not transaction.put(key.encode(), content, overwrite=False):
                    raise ValueError(f"{folder}: the key {key!r} comes twice. Fix: give each image its own name")
                lines.append(f"{key}.png ({','.join(map(str, shape))}) {LEVEL}\n")
        write_atomically("".join(lines).encode(), unfinished / META)
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return len(lines)


def package() -> ModuleType:
    """Return the package lmdb.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import lmdb
    except ImportError as fault:
        raise ImportError(f"{SUFFIX} folders need the package lmdb: pip install lmdb") from fault
    return lmdb


@lru_cache(maxsize=16)
def _environment(folder: str, _process: int) -> Any:
    if not (Path(folder) / "data.mdb").is_file():
        raise FileNotFoundError(f"{folder}: no LMDB folder (it has no data.mdb). Fix: check the path")
    return package().open(folder, readonly=True, lock=False, readahead=False, meminit=False)
