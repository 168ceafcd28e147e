"""The frames of a KITTI folder: where the files of each lie, and what they hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mm_monodino_detr.datasets.kitti_calibration import CalibrationError, KittiCalibration, read_calibration
from mm_monodino_detr.evaluation.kitti_files import KittiFileError, KittiObjects, read_objects
from mmrepro.engine.errors import UserError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


class KittiDataError(UserError, ValueError):
    """A folder in KITTI's format cannot be used; the message names the files at fault and the fix."""


@dataclass(frozen=True)
class KittiFrame:
    """The files of one frame.

    Attributes:
        name: of the frame, that of its files without suffix.
        picture: its picture.
        calibration: its calibration file.
        labels: its label file; None where the folder has none.
    """

    name: str
    picture: Path
    calibration: Path
    labels: Path | None


@dataclass(frozen=True)
class FrameContent:
    """What the text files of a frame hold: its calibration, and its objects unless it has no labels."""

    calibration: KittiCalibration
    objects: KittiObjects | None


@dataclass(frozen=True)
class FrameFault:
    """Why a frame cannot be used: its name, and a sentence that names the file and the fix."""

    frame: str
    text: str


def frames_of(names: list[str], pictures: Path, calibrations: Path, labels: Path | None) -> list[KittiFrame]:
    """Return the frames of names; a picture that is not there gets the suffix ``.png``.

    Args:
        names: of the frames.
        pictures: folder of the pictures, with any of :data:`PICTURE_SUFFIXES`.
        calibrations: folder of the calibration files.
        labels: folder of the label files; None where there is none.

    Raises:
        KittiDataError: one of the folders is missing.
    """
    for folder, key, what in ((calibrations, "calib", "calibrations"), (labels, "label", "labels")):
        if folder is not None and not folder.is_dir():
            less = ", or no label in data_prefix where there are none" if key == "label" else ""
            raise KittiDataError(
                f"{folder}: there is no such folder of {what}. Fix: data_root and data_prefix=dict({key}=...) to its "
                f"place{less}"
            )
    found = {path.stem: path for path in picture_files(pictures)}
    return [
        KittiFrame(
            name,
            found.get(name, pictures / f"{name}.png"),
            calibrations / f"{name}.txt",
            None if labels is None else labels / f"{name}.txt",
        )
        for name in names
    ]


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name.

    Raises:
        KittiDataError: there is no such folder.
    """
    if not folder.is_dir():
        raise KittiDataError(
            f"{folder}: there is no such folder of pictures. Fix: data_root and data_prefix=dict(img=...) to KITTI's "
            "training/image_2"
        )
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)


def read_frame(frame: KittiFrame, classes: Collection[str] | None) -> tuple[FrameContent | None, list[FrameFault]]:
    """Return what the text files of a frame hold, and the first fault of each of them; nothing where there is one.

    Args:
        frame: whose files are read.
        classes: names that label files may hold, in whatever case; None for any.
    """
    faults: list[FrameFault] = []
    calibration = objects = None
    try:
        calibration = read_calibration(frame.calibration)
    except CalibrationError as fault:
        faults.append(FrameFault(frame.name, str(fault)))
    try:
        objects = None if frame.labels is None else read_objects(frame.labels, classes=classes)
    except KittiFileError as fault:
        faults.append(FrameFault(frame.name, str(fault)))
    return (None if faults else FrameContent(calibration, objects)), faults
