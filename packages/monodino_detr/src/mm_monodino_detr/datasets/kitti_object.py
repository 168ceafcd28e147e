"""KITTI's 3D object benchmark, and data of one's own in its format, checked before the first step.

Geiger et al., Are we ready for autonomous driving? The KITTI vision benchmark suite (CVPR 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mm_monodino_detr.datasets.kitti_frames import (
    FrameContent,
    FrameFault,
    KittiDataError,
    KittiFrame,
    frames_of,
    picture_files,
    read_frame,
)
from mm_monodino_detr.evaluation.kitti_files import KITTI_CLASSES, read_split
from mmrepro.datasets.image_files import faults_of_files

_SHOWN = 5


@DATASETS.register_module()
class Kitti3DDataset(BaseDataset):
    """Pictures, calibrations and labels in KITTI's files, of any camera and any size of picture.

    Every file is looked at when the data set is made: a picture's ends, P2 and each line of labels. A sample holds
    ``img_id`` (the frame's name), ``img_path``, ``calib_path``, ``label_path`` (empty without labels), ``cam2img``
    (P2, ``(3, 4)`` as nested lists) and, with labels, ``objects``
    (:class:`mm_monodino_detr.evaluation.kitti_files.KittiObjects`) and ``labels`` (the class of each of them, -1 where
    it is not trained; names count in whatever case, as in the evaluation). Frames without objects are kept.

    Args:
        data_root: the folder that the others are relative to.
        ann_file: names of the frames, one on each line; empty for every picture of the folder.
        data_prefix: folders ``img``, ``calib`` and ``label``; without ``label`` there are no labels (KITTI's testing).
        writelist: the classes that are trained, of ``metainfo["classes"]``.
        other_classes: names in label files that are neither trained nor a mistake.
        bad_images: what to do with frames whose picture is missing, empty or cut off: ``raise``, or ``skip`` to leave
            them out and say so.
        **kwargs: of mmengine's ``BaseDataset``. ``metainfo["classes"]`` numbers the classes; the official order is
            Pedestrian, Car, Cyclist, which evaluation and checkpoints expect. ``("Car",)`` makes a model of one class.

    Raises:
        KittiDataError: pictures, calibrations or label files cannot be used, or there is nothing to train on; the first
            files at fault and the fix are named.
        KittiFileError: the split cannot be used.
        ValueError: an argument is wrong.
    """

    METAINFO: ClassVar[dict] = dict(classes=("Pedestrian", "Car", "Cyclist"))

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "ImageSets/train.txt",
        data_prefix: dict[str, str] | None = None,
        writelist: Sequence[str] = ("Car",),
        other_classes: Sequence[str] = KITTI_CLASSES,
        bad_images: Literal["raise", "skip"] = "raise",
        **kwargs: Any,
    ) -> None:
        if bad_images not in ("raise", "skip"):
            raise ValueError(f"bad_images is 'raise' or 'skip', got {bad_images!r}")
        for name, names in (("writelist", writelist), ("other_classes", other_classes)):
            if isinstance(names, str):
                raise ValueError(f"{name} is one text, {names!r}. Fix: {name}=({names!r},)")
        self.writelist = tuple(writelist)
        self.other_classes = tuple(other_classes)
        self.bad_images = bad_images
        if data_prefix is None:
            data_prefix = dict(img="training/image_2", calib="training/calib", label="training/label_2")
        if missing := {"img", "calib"} - data_prefix.keys():
            raise ValueError(f"data_prefix has no {sorted(missing)}. Fix: the folders of pictures and calibrations")
        # an empty prefix would become the root itself
        prefix = {name: folder for name, folder in data_prefix.items() if folder}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the files of all frames.

        Raises:
            KittiDataError: files cannot be used.
        """
        classes = self.metainfo["classes"]
        if isinstance(classes, str):
            raise ValueError(f"metainfo['classes'] is one text, {classes!r}. Fix: classes=({classes!r},)")
        if unknown := [name for name in self.writelist if name not in classes]:
            raise ValueError(
                f"writelist names {unknown}, which metainfo['classes']={tuple(classes)} does not have. Fix: one of both"
            )
        frames = self._with_pictures(self._frames())
        entries, faults = [], []
        for frame in frames:
            content, found = read_frame(frame, classes=(*classes, *self.other_classes))
            faults += found
            if content is not None:
                entries.append(self._entry(frame, content, classes))
        if faults:
            raise KittiDataError(_listed(self._source, faults, len(frames)))
        return entries

    def filter_data(self) -> list[dict]:
        """Return all frames, those without an object too.

        Raises:
            KittiDataError: no object of any frame is of a trained class.
        """
        if not self.test_mode and not any((entry.get("labels", np.empty(0)) >= 0).any() for entry in self.data_list):
            reason = (
                f"none of the {len(self.data_list)} frames has an object of {', '.join(self.writelist)}"
                if "label" in self.data_prefix
                else "data_prefix has no 'label'"
            )
            raise KittiDataError(
                f"{self._source}: there is nothing to train on: {reason}. Fix: training frames, or writelist and "
                "metainfo=dict(classes=...) with the names of the label files"
            )
        return self.data_list

    @property
    def _source(self) -> str:
        return self.ann_file or self.data_prefix["img"]

    def _frames(self) -> list[KittiFrame]:
        pictures = Path(self.data_prefix["img"])
        names = read_split(self.ann_file) if self.ann_file else [path.stem for path in picture_files(pictures)]
        if not names:
            raise KittiDataError(f"{pictures} holds no picture. Fix: data_prefix=dict(img=...) to the pictures' folder")
        labels = self.data_prefix.get("label")
        return frames_of(names, pictures, Path(self.data_prefix["calib"]), None if labels is None else Path(labels))

    def _with_pictures(self, frames: list[KittiFrame]) -> list[KittiFrame]:
        bad = faults_of_files(str(frame.picture) for frame in frames)
        if not bad:
            return frames
        first = ", ".join(f"{path} ({fault})" for path, fault in list(bad.items())[:_SHOWN])
        said = (
            f"{self._source}: {len(bad)} of {len(frames)} pictures cannot be read: {first}"
            f"{', ...' if len(bad) > _SHOWN else ''}"
        )
        if self.bad_images == "raise" or len(bad) == len(frames):
            raise KittiDataError(
                f"{said}. Fix: put them there, set data_root and data_prefix=dict(img=...) to their folder, or leave "
                "some out with bad_images='skip'"
            )
        done = " In the evaluation their objects count as not found" if self.test_mode else ""
        print_log(f"{said}. They are left out.{done}", logger="current", level=WARNING)
        return [frame for frame in frames if str(frame.picture) not in bad]

    def _entry(self, frame: KittiFrame, content: FrameContent, classes: Sequence[str]) -> dict:
        entry = dict(
            img_id=frame.name,
            img_path=str(frame.picture),
            calib_path=str(frame.calibration),
            label_path="" if frame.labels is None else str(frame.labels),
            cam2img=content.calibration.p2.tolist(),
        )
        if content.objects is not None:
            number = {name.lower(): place for place, name in enumerate(classes) if name in self.writelist}
            labels = [number.get(name.lower(), -1) for name in content.objects.names.tolist()]
            entry |= dict(objects=content.objects, labels=np.array(labels, np.int64))
        return entry


def _listed(source: str, faults: list[FrameFault], frames: int) -> str:
    first = "; ".join(fault.text for fault in faults[:_SHOWN])
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    bad = len({fault.frame for fault in faults})
    return f"{source}: {bad} of {frames} frames cannot be used: {first}{more}. `check_kitti` lists all of them"
