"""Folders of KITTI's label and result files, matched by the names of the frames."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mm_monodino_detr.evaluation.kitti_ap import ClassRules, KittiEvaluation
from mm_monodino_detr.evaluation.kitti_files import (
    KITTI_CLASSES,
    KittiFileError,
    KittiObjects,
    read_objects,
    read_split,
)


@dataclass(frozen=True)
class FolderEvaluation:
    """What two folders hold of a split.

    Attributes:
        evaluation: of all frames of the split.
        frames: how many.
        missing: frames without a result file; they count as frames without detections.
        others: result files of frames that are not in the split; they do not count.
    """

    evaluation: KittiEvaluation
    frames: int
    missing: list[str]
    others: list[str]


def read_folders(
    labels: str | Path,
    results: str | Path,
    split: str | Path,
    classes: Collection[str] | None = KITTI_CLASSES,
    rules: Mapping[str, ClassRules] | None = None,
) -> FolderEvaluation:
    """Read the labels ``<frame>.txt`` and the results of the same names, frame by frame of a split.

    The official evaluator pairs files by their places in the sorted folder, so one missing file shifts all others.

    Args:
        labels: folder of the labels.
        results: folder of the results.
        split: file with the frames' names.
        classes: that may occur; None for any.
        rules: of classes, where KITTI's do not fit.

    Raises:
        KittiFileError: a folder or a label is missing, a file is broken, or no frame of the split has results.
    """
    labels, results = Path(labels), Path(results)
    for folder, what in ((labels, "labels"), (results, "results")):
        if not folder.is_dir():
            raise KittiFileError(f"{folder} is no folder. Fix: the folder of the {what}, with files like 000042.txt")
    frames = sorted(read_split(split))
    there = {path.stem for path in results.glob("*.txt")}
    missing = [frame for frame in frames if frame not in there]
    if len(missing) == len(frames):
        raise KittiFileError(
            f"{results} has results of none of the {len(frames)} frames of {split}. Fix: files like {frames[0]}.txt"
        )
    absent = set(missing)
    evaluation = KittiEvaluation(
        [read_objects(labels / f"{frame}.txt", classes=classes) for frame in frames],
        [
            KittiObjects.none(scored=True) if frame in absent else read_objects(results / f"{frame}.txt", True, classes)
            for frame in frames
        ],
        rules,
    )
    return FolderEvaluation(evaluation, len(frames), missing, sorted(there - set(frames)))


def read_rules(path: str | Path) -> dict[str, ClassRules]:
    """Return the rules of classes in a JSON file, as ``KittiMetric3D`` takes them.

    Raises:
        KittiFileError: the file is missing or holds something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: ClassRules(**one) for name, one in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as fault:
        raise KittiFileError(
            f"{path} holds no rules of classes ({fault}). Fix: JSON like "
            '{"Kart": {"overlaps": [[0.7, 0.7, 0.7], [0.7, 0.5, 0.5]]}}'
        ) from fault
