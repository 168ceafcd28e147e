"""Files in one folder for each class: what data sets of pictures and of clouds of one's own share."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from mmengine.logging import print_log

from mm_meta_transformer.datasets.data_error import DataError


def class_folders(root: Path) -> tuple[str, ...]:
    """Return the sorted names of a folder's folders, less those that begin with ``_`` or ``.``.

    Raises:
        FileNotFoundError: the folder is not there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder. Fix: data_root, a folder with one folder for each class")
    return tuple(sorted(item.name for item in root.iterdir() if item.is_dir() and item.name[0] not in "._"))


def files_by_class(root: Path, classes: Sequence[str], endings: Collection[str]) -> list[tuple[str, int]]:
    """Return the files ``<root>/<class>/*`` and the class's number each, class by class in the order of their names.

    Upper and lower case of an ending are the same; hidden files and those of other endings are left out. A class
    without a file is a warning in the log.

    Args:
        root: the folder.
        classes: the folders that count, the first is class 0.
        endings: of the files' names, in lower case.

    Raises:
        FileNotFoundError: the folder, or that of a class, is not there.
        DataError: there is no file.
    """
    folders = class_folders(root)
    absent = [name for name in classes if name not in folders]
    if absent:
        raise FileNotFoundError(
            f"{root} has no folder {', '.join(absent)}; it has {', '.join(folders) or 'none'}. "
            "Fix: classes, the names of the folders"
        )
    found = [
        (str(path), label)
        for label, name in enumerate(classes)
        for path in sorted((root / name).iterdir())
        if path.suffix.lower() in endings and not path.name.startswith(".")
    ]
    if not found:
        raise DataError(
            f"{root} has no file that ends with {', '.join(endings)} in {', '.join(classes)}. Fix: save the data in "
            "such files, in one folder for each class"
        )
    if empty := [name for label, name in enumerate(classes) if all(label != other for _, other in found)]:
        print_log(f"{root}: there is no file of {', '.join(empty)}", "current", logging.WARNING)
    return found
