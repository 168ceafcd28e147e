"""What goes into the inferencers: configs of this package, and pictures that can be read."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmrepro import papers
from mmrepro.datasets.registry import PICTURE_SUFFIXES
from mmrepro.engine.errors import UserError

Picture = str | Path | np.ndarray
MODULE = "mm_vit_comer"


def read_config(model: str | Path | Config) -> Config:
    """Return a config of this package, its modules imported.

    Args:
        model: its name, a path, or the config, of which a copy is returned.

    Raises:
        FileNotFoundError: there is none of that name.
        UserError: it is another package's, or no config.
    """
    if isinstance(model, Config):
        name, config = "the config", copy.deepcopy(model)
    else:
        name = papers.find_config("vit_comer", model)
        try:
            config = Config.fromfile(name, import_custom_modules=False)  # another package's may not be there
        except OSError as error:
            raise UserError(f"{name} is no config: {error}. Fix: give a Python file with a config") from error
    named = config.get("custom_imports") or {}
    if MODULE not in named.get("imports", ()):
        raise UserError(
            f"{name} is not for this package: its custom_imports have no {MODULE}. "
            "Fix: `mmrepro list vit_comer` shows the configs"
        )
    import_modules_from_strings(**named)
    return config


def listed(inputs: Picture | Iterable[Picture]) -> list[str | np.ndarray]:
    """Return the pictures of files, folders and arrays; those of a folder in the order of their names.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: something is no picture, or there is none.
    """
    alone = isinstance(inputs, (str, Path, np.ndarray)) or not isinstance(inputs, Iterable)
    found = [one for each in ([inputs] if alone else inputs) for one in _expanded(each)]
    if not found:
        raise UserError(f"there is no picture in {inputs}. Fix: a file, a folder with pictures, or an array")
    return found


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


def stem_of(source: str | np.ndarray, number: int) -> str:
    """Return what the results of a picture are called: as its file, or the number for an array."""
    return f"{number:08}" if isinstance(source, np.ndarray) else Path(source.partition("?")[0]).stem  # of a URL


def require_distinct(sources: Sequence[str | np.ndarray]) -> None:
    """Stop where a picture's results would replace another's.

    Raises:
        UserError: two files have the same name but for folder and suffix.
    """
    names = [stem_of(source, number) for number, source in enumerate(sources)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        same = [str(one) for one, other in zip(sources, names, strict=True) if other == name][:2]
        raise UserError(
            f"{' and '.join(same)} would be written under one name. Fix: give them in two calls, with an out_dir each"
        )


@dataclass(frozen=True)
class Reader:
    """The loader of files of a test pipeline, whose errors name neither the file nor what to do."""

    read: Callable[[dict], dict]

    def __call__(self, results: dict) -> dict:
        """Load a picture.

        Raises:
            UserError: it cannot be read.
        """
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
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise UserError(
                f"an array must be (H, W, 3) in uint8, blue first; this is {picture.shape} in {picture.dtype}"
            )
        return [picture]
    if not isinstance(picture, (str, Path)):
        raise UserError(f"{type(picture).__name__} is no picture. Fix: give a file, a folder or an array (H, W, 3)")
    if "://" in str(picture):
        return [str(picture)]
    path = Path(picture)
    if path.is_dir():
        return sorted(str(one) for one in path.iterdir() if one.suffix.lower() in PICTURE_SUFFIXES)
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    return [str(path)]
