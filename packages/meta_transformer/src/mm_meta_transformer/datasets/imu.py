"""Windows of a body-worn inertial sensor with the activity of each, in the text files of UCI's HAR data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.text_file import read_text
from mmrepro.datasets.generated.gait import gait_folder

CHANNELS = ("total_acc_x", "total_acc_y", "total_acc_z", "body_gyro_x", "body_gyro_y", "body_gyro_z")
"""The six axes of accelerometer (g) and gyroscope (radians a second) that a device measures itself."""


class InertialFileError(DataError):
    """A file of the data set does not hold what it should; the message names file, line and fix."""


@DATASETS.register_module()
class UCIHARDataset(BaseDataset):
    """Windows of one part, scaled by each channel's mean and deviation over the training part.

    A sample has ``series`` ``(T, V)`` float32, ``gt_label``, counted from 0 in the order of ``activity_labels.txt``,
    and ``person``. The scale is in ``metainfo``, so that checkpoints hold it. Nothing is chosen on the test part: the
    published split has no validation part.

    Args:
        data_root: the unpacked folder ``UCI HAR Dataset``.
        split: ``"train"`` or ``"test"``; persons of one are not in the other.
        channels: which signals, by the beginning of their files' names. The set has ``body_acc``, the acceleration
            without gravity, besides :data:`CHANNELS`.
        kwargs: everything else as in :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: a file is missing; the message says where the set comes from.
        InertialFileError: a file has another number of windows, windows of another length, no numbers, or an unknown
            activity.
        DataError: an option has no meaning.
    """

    def __init__(
        self,
        data_root: str,
        split: Literal["train", "test"],
        channels: Sequence[str] = CHANNELS,
        **kwargs: Any,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split={split!r} is not known. Fix: 'train' or 'test'")
        if isinstance(channels, str) or not channels:
            raise DataError(f"channels={channels!r} is no list of names. Fix: {list(CHANNELS)}, or some of them")
        self.split, self.channels = split, tuple(channels)
        # arrays need no serialising, and mmengine's collects garbage for a second first
        super().__init__(ann_file="", data_root=data_root, **({"serialize_data": False} | kwargs))

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the windows of the part, scaled."""
        folder = Path(self.data_root)
        names = _activities(folder / "activity_labels.txt")
        train = _read_signals(folder, "train", self.channels)
        mean, deviation = train.mean((0, 1)), train.std((0, 1))
        constant = [channel for channel, spread in zip(self.channels, deviation, strict=True) if not spread]
        if constant:
            raise InertialFileError(f"{folder}: {', '.join(constant)} never change. Fix: leave them out of channels")
        windows = train if self.split == "train" else _read_signals(folder, self.split, self.channels)
        labels = _whole_numbers(folder / self.split / f"y_{self.split}.txt", len(windows))
        persons = _whole_numbers(folder / self.split / f"subject_{self.split}.txt", len(windows))
        for line, label in enumerate(labels, 1):
            if label not in names:
                raise InertialFileError(
                    f"{folder / self.split / f'y_{self.split}.txt'}, line {line}: activity {label} is not one of "
                    f"{list(names)}. Fix: name it in activity_labels.txt"
                )
        self._metainfo.setdefault("classes", list(names.values()))
        self._metainfo |= dict(channels=list(self.channels), mean=mean.tolist(), deviation=deviation.tolist())
        place = {number: index for index, number in enumerate(names)}
        scaled = ((windows - mean) / deviation).astype(np.float32)
        return [
            dict(series=window, gt_label=place[label], person=person)
            for window, label, person in zip(scaled, labels, persons, strict=True)
        ]


@DATASETS.register_module()
class GeneratedGaitDataset(UCIHARDataset):
    """``UCIHARDataset`` of generated signals, written to the same files and read from them.

    Args:
        split: as in :class:`UCIHARDataset`.
        generate: arguments of :func:`mmrepro.datasets.generated.gait.gait_folder`.
        kwargs: everything else as in :class:`UCIHARDataset`.
    """

    def __init__(self, split: Literal["train", "test"], generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(str(gait_folder(**(generate or {}))), split, **kwargs)


def _text(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. Fix: data_root must be the unpacked folder 'UCI HAR Dataset' of "
            "https://archive.ics.uci.edu/dataset/240"
        )
    return read_text(path).splitlines()


def _activities(path: Path) -> dict[int, str]:
    names = {}
    for line, text in enumerate(_text(path), 1):
        number, _, name = text.strip().partition(" ")
        if not number.isdigit() or not name.strip():
            raise InertialFileError(f"{path}, line {line}: {text!r}. Fix: write a number and a name, '1 WALKING'")
        names[int(number)] = name.strip()
    return names


def _whole_numbers(path: Path, count: int) -> list[int]:
    lines = _text(path)
    for line, text in enumerate(lines, 1):
        if not text.strip().isdigit():
            raise InertialFileError(
                f"{path}, line {line}: {text!r} is no whole number. Fix: one number for each window"
            )
    if len(lines) != count:
        raise InertialFileError(f"{path} has {len(lines)} lines for {count} windows. Fix: one line for each window")
    return [int(text) for text in lines]


def _read_signals(folder: Path, split: str, channels: tuple[str, ...]) -> np.ndarray:
    """Return the windows ``(W, T, V)`` of a part in float64, which nobody may change."""
    files = tuple(folder / split / "Inertial Signals" / f"{channel}_{split}.txt" for channel in channels)
    stamps = tuple((stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in files if file.is_file()))
    return _signals(files, channels, stamps)


@lru_cache(maxsize=2)  # both parts read the training part, which scales them
def _signals(files: tuple[Path, ...], channels: tuple[str, ...], stamps: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return what :func:`_read_signals` does; the stamps make files that were mended others."""
    found: list[np.ndarray] = []
    for path in files:
        rows = [text.split() for text in _text(path)]
        wanted = found[0].shape if found else (len(rows), len(rows[0]) if rows else 0)
        if len(rows) != wanted[0] or not rows:
            raise InertialFileError(
                f"{path} has {len(rows)} windows, {channels[0]} {wanted[0]}. Fix: one line for each"
            )
        for line, row in enumerate(rows, 1):
            if len(row) != wanted[1]:
                raise InertialFileError(
                    f"{path}, line {line}: {len(row)} numbers, not {wanted[1]}: windows have one length. "
                    "Fix: cut the recording into windows of as many samples"
                )
        try:
            values = np.array(rows, np.float64)
        except ValueError as fault:
            raise InertialFileError(f"{path}: {fault}. Fix: write numbers, with blanks between them") from fault
        broken = np.flatnonzero(~np.isfinite(values).all(1))
        if len(broken):
            raise InertialFileError(f"{path}, line {broken[0] + 1}: not a finite number. Fix: leave that window out")
        found.append(values)
    windows = np.stack(found, axis=-1)
    windows.flags.writeable = False
    return windows
