"""DF2K as the official training reads it: squares of DIV2K and Flickr2K, their list, and LMDB folders if wanted.

HAT README and BasicSR ``docs/DatasetPreparation.md``; the squares are those of :mod:`mm_hat.datasets.sub_images`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import lmdb_images
from .paired import image_files
from .sub_images import HR_CROP, HR_STEP, cut_folder, picture_shape, pictures_by_name, write_list, write_lmdb

SCALES = (2, 3, 4)
LIST = "meta_info/meta_info_DF2Ksub_GT.txt"
Progress = Callable[[str, int, int], None]  # what is being made, how many are done, of how many


@dataclass(frozen=True)
class Part:
    """A set of good pictures and, beside it, its low-resolution ones: ``<low>/X2``, ``<low>/X3``, ``<low>/X4``."""

    high: Path
    low: Path

    def folder(self, scale: int) -> Path:
        """Return the folder of the pictures at a scale; 1 are the good ones."""
        return self.high if scale == 1 else self.low / f"X{scale}"


def official_parts(data_root: str | Path) -> list[Part]:
    """Return DIV2K and Flickr2K below a folder, named as their archives unpack."""
    root = Path(data_root)
    return [
        Part(root / "DIV2K/DIV2K_train_HR", root / "DIV2K/DIV2K_train_LR_bicubic"),
        Part(root / "Flickr2K/Flickr2K_HR", root / "Flickr2K/Flickr2K_LR_bicubic"),
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

    Every pair's sizes are compared before anything is written. What is there already is kept, so an interrupted run
    goes on where it stopped.

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
        ValueError: a low-resolution picture is missing or has another size than the scale asks for; both files are
            named. Or as :func:`mm_hat.datasets.sub_images.cut_folder`.
        ImageReadError: a picture cannot be read completely.
        ImportError: the package lmdb is not installed.
    """
    target = Path(target)
    for part in parts:
        for scale in scales:
            _require_pairs(part, scale)
    pictures_by_name([file for part in parts for file in image_files(part.high)])
    made = {}
    for scale in (1, *scales):
        folder = target / folder_name(scale)
        made[folder.name] = 0
        for part in parts:
            label = f"{folder.name} of {part.high.name}"
            report = None if progress is None else _labelled(progress, label)
            made[folder.name] += cut_folder(part.folder(scale), folder, scale, crop, step, workers, report)
        packed = folder.with_name(f"{folder.name}{lmdb_images.SUFFIX}")
        if lmdb and not packed.exists():  # it appears whole or not at all
            write_lmdb(folder, packed)
    write_list(target / folder_name(1), target / LIST)
    return made


def _labelled(progress: Progress, label: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(label, done, total)


def _require_pairs(part: Part, scale: int) -> None:
    """Check that each good picture has a low-resolution one of the right size; only headers are read."""
    low = pictures_by_name(image_files(part.folder(scale)))
    for name, high in pictures_by_name(image_files(part.high)).items():
        if name not in low:
            raise ValueError(f"{high} has no picture in {part.folder(scale)}. Fix: complete the folder")
        (h, w, _), (low_h, low_w, _) = picture_shape(high), picture_shape(low[name])
        if (h, w) != (low_h * scale, low_w * scale):
            raise ValueError(
                f"{high} is {h}x{w} and {low[name]} is {low_h}x{low_w} (height x width), which is not a pair at scale "
                f"{scale}. Fix: cut the first to a multiple of the scale, and make the second from it"
            )
