"""Folders, lists and LMDB folders of image pairs, or of high-resolution images alone.

The accepted layouts are those of BasicSR's ``basicsr/data/data_util.py`` (8d56e3a); the class has mmagic's name and
arguments.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmrepro.datasets.registry import data_roots

from . import lmdb_images
from .image_io import SUFFIXES

# "sub/name.png", then nothing, or a blank and "(h,w,c)", a class or whatever else a list says
_LINE = re.compile(rf"(?P<path>.+?(?:{'|'.join(map(re.escape, SUFFIXES))}))(?:\s.*)?", re.IGNORECASE)
_SHOWN = 3  # names in an error


@DATASETS.register_module()
class BasicImageDataset(BaseDataset):
    """Images by pairs (``img`` and ``gt``), or one side of them alone.

    A side is a folder, which is searched through, or an LMDB folder (``<name>.lmdb``). Both sides must hold the same
    names. With a list, only the images that it names are used, and whether they exist shows when they are read.

    Args:
        data_prefix: the folders by side: ``dict(img=..., gt=...)``, or one of them.
        ann_file: a list, one path relative to the ``gt`` folder a line, optionally followed by ``(h,w,c)``.
        data_root: the folder of both; a relative one is also looked for in ``$MMREPRO_DATA_ROOT`` and ``./data``.
        filename_tmpl: by side, how a file is called whose image is called ``{}``, as ``dict(img='{}x4')``.
        scale: noted in every sample, where given.
        pipeline: the transforms.
        **kwargs: as mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: a folder or the list is not there, or a folder holds no image.
        ValueError: the two sides hold different images, the list has a line without an image, or no side is given.
    """

    def __init__(
        self,
        data_prefix: dict[str, str],
        ann_file: str = "",
        data_root: str = "",
        filename_tmpl: dict[str, str] | None = None,
        scale: int | None = None,
        pipeline: list | tuple = (),
        **kwargs: Any,
    ) -> None:
        if not data_prefix or not set(data_prefix) <= {"img", "gt"}:
            raise ValueError(f"data_prefix must name img, gt or both, not {sorted(data_prefix)}")
        self.scale = scale
        self.filename_tmpl = {"img": "{}", "gt": "{}"} | (filename_tmpl or {})
        super().__init__(
            ann_file=ann_file,
            data_root=resolve_root(data_root),
            data_prefix=dict(data_prefix),
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Return ``key``, ``img_path``, ``gt_path`` and ``scale`` of every sample, as far as they are given."""
        if self.ann_file:
            samples = self._listed()
        else:
            samples = self._matched({side: self._found(side) for side in self.data_prefix})
        extra = {} if self.scale is None else {"scale": self.scale}
        return [sample | extra for sample in samples]

    def _listed(self) -> list[dict]:
        samples = []
        for name in read_list(self.ann_file):
            key = Path(name).with_suffix("").as_posix()
            paths = {side: self._path(side, key, Path(name).suffix) for side in self.data_prefix}
            samples.append({"key": key, **{f"{side}_path": path for side, path in paths.items()}})
        return samples

    def _path(self, side: str, key: str, suffix: str) -> str:
        folder = self.data_prefix[side]
        name = Path(key).with_name(self.filename_tmpl[side].format(Path(key).name)).as_posix()
        if folder.endswith(lmdb_images.SUFFIX):
            return f"{folder}/{name}"
        return str(Path(folder) / f"{name}{suffix}")

    def _found(self, side: str) -> dict[str, str]:
        """Return the path of each image of a side by its key, the template taken off."""
        folder = self.data_prefix[side]
        if folder.endswith(lmdb_images.SUFFIX):
            names = {key: f"{folder}/{key}" for key in lmdb_images.keys(folder)}
        else:
            root = Path(folder)
            names = {path.relative_to(root).with_suffix("").as_posix(): str(path) for path in image_files(root)}
        before, _, after = self.filename_tmpl[side].partition("{}")
        keys = {name: _without(name, before, after) for name in names}
        wrong = [name for name, key in keys.items() if key is None]
        if wrong:
            raise ValueError(
                f"{folder} holds {_some(wrong)}, not named {self.filename_tmpl[side]!r}. Fix: check filename_tmpl"
            )
        return {keys[name]: path for name, path in names.items()}

    def _matched(self, sides: dict[str, dict[str, str]]) -> list[dict]:
        first = next(iter(sides.values()))
        for side, paths in sides.items():
            alone, absent = sorted(paths.keys() - first.keys()), sorted(first.keys() - paths.keys())
            if alone or absent:
                one, other = self.data_prefix[next(iter(sides))], self.data_prefix[side]
                raise ValueError(
                    f"{one} and {other} do not hold the same images: only the first has {_some(absent)}, only the "
                    f"second has {_some(alone)}. Fix: check the folders and filename_tmpl"
                )
        return [{"key": key, **{f"{side}_path": paths[key] for side, paths in sides.items()}} for key in sorted(first)]


def resolve_root(data_root: str | Path | None) -> str:
    """Return a data root: as it is, or, when it is relative and not here, the one below ``$MMREPRO_DATA_ROOT`` or
    ``./data`` that exists.
    """
    if not data_root or Path(data_root).is_dir():
        return str(data_root or "")
    return next((str(root / data_root) for root in data_roots() if (root / data_root).is_dir()), str(data_root))


def image_files(folder: str | Path) -> list[Path]:
    """Return all pictures in a folder and its sub-folders, sorted.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. Fix: check the path (in a config: data_root, data_prefix)")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder} holds no picture ({', '.join(SUFFIXES)})")
    return found


def read_list(path: str | Path) -> list[str]:
    """Return the relative paths that a list names, one a line; what follows a path's suffix and a blank is left out.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a line names no picture, or there is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such list. Fix: write one with mm_hat.datasets.sub_images.write_list")
    names = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r} names no picture. Fix: <path>.png, then (h,w,c) or not"
            )
        names.append(match["path"])
    if not names:
        raise ValueError(f"{path} names no picture")
    return names


def _without(name: str, before: str, after: str) -> str | None:
    """Take a template's text off the last part of a name; None where it is not there."""
    folder, slash, base = name.rpartition("/")
    if not (base.startswith(before) and base.endswith(after) and len(base) > len(before) + len(after)):
        return None
    return folder + slash + base[len(before) : len(base) - len(after)]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + more
