"""What goes into the inferencers: pictures that can be read, whose results get a name each. It needs mmcv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dataset import Compose

from mmrepro.datasets.image_files import fault_of_file
from mmrepro.datasets.registry import PICTURE_SUFFIXES
from mmrepro.engine.errors import UserError

Picture = str | Path | np.ndarray


def listed(inputs: Picture | Iterable[Picture]) -> list[str | np.ndarray]:
    """Return the pictures of files, folders, URLs and arrays; those of a folder in the order of their names.

    Hidden files of a folder are left out.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: something is no picture, a file is empty or cut off, or there is none.
    """
    alone = isinstance(inputs, (str, Path, np.ndarray)) or not isinstance(inputs, Iterable)
    found = [one for each in ([inputs] if alone else inputs) for one in _expanded(each)]
    if not found:
        raise UserError(f"there is no picture in {inputs}. Fix: a file, a folder with pictures, or an array")
    for one in found:
        _check(one)
    return found


def single(picture: Picture) -> str | np.ndarray:
    """Return the picture of a file, a URL or an array.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is no picture, or there are several.
    """
    found = listed(picture)
    if len(found) != 1:
        raise UserError(f"these are {len(found)} pictures. Fix: give them one by one")
    return found[0]


def pixels(source: str | np.ndarray) -> np.ndarray:
    """Return a picture as ``(H, W, 3)`` in uint8, blue first and upright.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(source, np.ndarray):
        return source
    try:
        found = mmcv.imread(source)
    except OSError as error:
        raise _unreadable(source, str(error)) from error
    if found is None:
        raise _unreadable(source, "damaged, or no picture")
    return found


def stem_of(source: str | np.ndarray, number: int = 0) -> str:
    """Return what the results of a picture are called: as its file, or the number for an array."""
    return f"{number:08}" if isinstance(source, np.ndarray) else Path(source.partition("?")[0]).stem  # of a URL


def require_distinct(sources: Sequence[str | np.ndarray], name_of: Callable[[str], str] = stem_of) -> None:
    """Stop where a picture's results would replace another's; those of arrays have numbers of their own.

    Args:
        sources: the pictures.
        name_of: the name that a file's results get.

    Raises:
        UserError: two files' results would have the same name.
    """
    files = [one for one in sources if isinstance(one, str)]
    name, count = Counter(map(name_of, files)).most_common(1)[0] if files else ("", 0)
    if count > 1:
        same = " and ".join([file for file in files if name_of(file) == name][:2])
        raise UserError(f"{same} would be written under one name. Fix: give them in two calls, with an out_dir each")


def with_named_errors(pipeline: Compose) -> Compose:
    """Let the loader of an inferencer's pipeline name the file that it cannot read, in place."""
    for loader in pipeline.transforms:
        if hasattr(loader, "from_file"):
            loader.from_file = _Reader(loader.from_file)
    return pipeline


@dataclass(frozen=True)
class _Reader:
    """The loader of files of a test pipeline, whose errors name neither the file nor what to do."""

    read: Callable[[dict], dict]

    def __call__(self, results: dict) -> dict:
        try:
            loaded = self.read(results)
        except (AssertionError, AttributeError, TypeError) as error:  # what the libraries make of nothing decoded
            raise _unreadable(results["img_path"], "damaged, or no picture") from error
        except OSError as error:
            raise _unreadable(results["img_path"], str(error)) from error
        if loaded is None:
            raise _unreadable(results["img_path"], "damaged, or no picture")
        return loaded


def _unreadable(picture: str, fault: str) -> UserError:
    return UserError(f"{picture} cannot be read: {fault}. Fix: leave it out or write it again")


def _expanded(picture: Picture) -> list[str | np.ndarray]:
    """Return the pictures of a folder, or the picture itself.

    Not by the libraries' listing: it leaves out ``.JPG``.
    """
    if not isinstance(picture, (str, Path, np.ndarray)):
        raise UserError(f"{type(picture).__name__} is no picture. Fix: give a file, a folder or an array (H, W, 3)")
    if isinstance(picture, np.ndarray):
        return [picture]
    if "://" in str(picture) or not Path(picture).is_dir():
        return [str(picture)]
    files = sorted(Path(picture).iterdir())
    return [str(file) for file in files if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")]


def _check(picture: str | np.ndarray) -> None:
    """Stop at what would fail later with a message about something else."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise UserError(
                f"an array is {picture.shape} in {picture.dtype}. Fix: an array must be (H, W, 3) in uint8, blue first"
            )
        return
    if "://" in picture:
        return
    if not Path(picture).is_file():
        raise FileNotFoundError(f"there is no picture {picture}")
    fault = fault_of_file(picture)
    if fault is not None:
        raise _unreadable(picture, fault)
