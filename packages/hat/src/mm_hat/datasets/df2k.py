"""DF2K as the official training reads it: squares of DIV2K and Flickr2K, their list, and LMDB folders if wanted.

HAT README and BasicSR ``docs/DatasetPreparation.md``; the squares are those of :mod:`mm_hat.datasets.sub_images`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import print_log

from mmrepro.datasets import registry

from . import lmdb_images
from .paired import image_files
from .sub_images import (
    DF2K_PICTURES,
    HR_CROP,
    HR_STEP,
    cut_folder,
    picture_shape,
    pictures_by_name,
    write_list,
    write_lmdb,
)

SCALES = (2, 3, 4)
LIST = "meta_info/meta_info_DF2Ksub_GT.txt"
OTHER_LIST = "meta_info/meta_info_DF2Ksub_made_here.txt"  # where the official list is, and the squares are not its own
Progress = Callable[[str, int, int], None]  # what is being made, how many are done, of how many


@dataclass(frozen=True)
class Part:
    """A set of good pictures and, beside it, its low-resolution ones: ``<low>/X2``, ``<low>/X3``, ``<low>/X4``.

    ``pictures`` is how many were published; None for a set of one's own.
    """

    high: Path
    low: Path
    pictures: int | None = None

    def folder(self, scale: int) -> Path:
        """Return the folder of the pictures at a scale; 1 are the good ones."""
        return self.high if scale == 1 else self.low / f"X{scale}"


def official_parts(data_root: str | Path) -> list[Part]:
    """Return DIV2K and Flickr2K below a folder, named as their archives unpack."""
    root = Path(data_root)
    return [
        Part(root / "DIV2K/DIV2K_train_HR", root / "DIV2K/DIV2K_train_LR_bicubic", DF2K_PICTURES["DIV2K"]),
        Part(root / "Flickr2K/Flickr2K_HR", root / "Flickr2K/Flickr2K_LR_bicubic", DF2K_PICTURES["Flickr2K"]),
    ]


def folder_name(scale: int) -> str:
    """Return what the configs call the folder of squares at a scale; 1 are the good ones."""
    return "DF2K_HR_sub" if scale == 1 else f"DF2K_bicx{scale}_sub"


def prepare_df2k(
    parts: Sequence[Part],
    target: str | Path,
    scales: Sequence[int] = SCALES,
    lmdb: bool = False,
    crop: int = HR_CROP,
    step: int = HR_STEP,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Cut all parts into the folders that the configs ``df2k_x2`` to ``df2k_x4`` read, and write the list.

    Every pair's sizes are compared before anything is written, and a part of fewer or more pictures than published is
    warned of. What is there already is kept, so an interrupted run goes on where it stopped; the official list is kept
    too, and one of other squares goes beside it.

    Args:
        parts: the sets, see :func:`official_parts`.
        target: the folder of all that is made, usually ``DF2K`` below the data root.
        scales: of the low-resolution pictures.
        lmdb: pack each folder of squares into an LMDB folder beside it, too.
        crop, step: side and distance of the squares, in pixels of the truth.
        workers: processes.
        progress: called after each picture.

    Returns:
        The number of squares by folder.

    Raises:
        FileNotFoundError: a folder is not there, or holds no picture.
        ValueError: a low-resolution picture is missing, belongs to no good one, or has another size than the scale
            asks for; the files are named. An LMDB folder is there and holds other squares. Or as
            :func:`mm_hat.datasets.sub_images.cut_folder`.
        ImageReadError: a picture cannot be read completely.
        ImportError: the package lmdb is not installed.
    """
    target = Path(target)
    if lmdb:
        lmdb_images.package()  # hours before it is needed
    for part in parts:
        for scale in scales:
            _require_pairs(part, scale)
    pictures_by_name([file for part in parts for file in image_files(part.high)])
    for part in parts:
        _warn_of_other_pictures(part)
    made = {}
    for scale in (1, *scales):
        folder = target / folder_name(scale)
        made[folder.name] = 0
        for part in parts:
            label = f"{folder.name} of {part.high.name}"
            report = None if progress is None else _labelled(progress, label)
            made[folder.name] += cut_folder(part.folder(scale), folder, scale, crop, step, workers, report)
        packed = folder.with_name(f"{folder.name}{lmdb_images.SUFFIX}")
        if lmdb and packed.exists():  # it appears whole or not at all
            _require_same(packed, folder)
        elif lmdb:
            write_lmdb(folder, packed)
    _write_list(target)
    return made


def _labelled(progress: Progress, label: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(label, done, total)


def _require_pairs(part: Part, scale: int) -> None:
    """Check that each good picture has one low-resolution one of the right size; only headers are read."""
    low = pictures_by_name(image_files(part.folder(scale)))
    highs = pictures_by_name(image_files(part.high))
    alone = next((path for name, path in low.items() if name not in highs), None)
    if alone is not None:
        raise ValueError(
            f"{alone} belongs to no picture in {part.high}. Fix: take it away, or complete the other folder"
        )
    for name, high in highs.items():
        if name not in low:
            raise ValueError(f"{high} has no picture in {part.folder(scale)}. Fix: complete the folder")
        (h, w, _), (low_h, low_w, _) = picture_shape(high), picture_shape(low[name])
        if (h, w) != (low_h * scale, low_w * scale):
            raise ValueError(
                f"{high} is {h}x{w} and {low[name]} is {low_h}x{low_w} (height x width), which is not a pair at scale "
                f"{scale}. Fix: cut the first to a multiple of the scale, and make the second from it"
            )


def _warn_of_other_pictures(part: Part) -> None:
    count = len(image_files(part.high))
    if part.pictures is not None and count != part.pictures:
        text = (
            f"{part.high} holds {count:,} pictures, the published set {part.pictures:,}: this is not the paper's DF2K"
        )
        print_log(text, "current", logging.WARNING)


def _require_same(packed: Path, folder: Path) -> None:
    """Check that an LMDB folder of an earlier run holds the squares that are there now."""
    squares = {path.relative_to(folder).with_suffix("").as_posix() for path in image_files(folder)}
    if set(lmdb_images.keys(packed)) != squares:
        raise ValueError(
            f"{packed} does not hold the {len(squares):,} squares of {folder}. Fix: remove it, and run again"
        )


def _write_list(target: Path) -> None:
    """Write the list of the squares of the good pictures, without taking the official one's place by another."""
    official, listed = registry.get("df2k").files[0].digests, target / LIST
    if not (listed.is_file() and registry.digest(listed) in official):
        write_list(target / folder_name(1), listed)
        return
    other = target / OTHER_LIST
    write_list(target / folder_name(1), other)
    if registry.digest(other) in official:
        other.unlink()
    else:
        text = f"{listed} is the official list, and names other squares than were cut; theirs is {other}"
        print_log(text, "current", logging.WARNING)
