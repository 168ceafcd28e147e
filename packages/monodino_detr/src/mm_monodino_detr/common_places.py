"""The baseline of generated streets: 3D boxes at the same places of every picture, without looking at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS

from mm_monodino_detr.datasets.generated_kitti import generated_folder
from mm_monodino_detr.evaluation.kitti_files import KittiObjects, read_objects, read_split
from mm_monodino_detr.evaluation.kitti_metric import KittiMetric3D


@METRICS.register_module()
class CommonPlacesKittiMetric(KittiMetric3D):
    """KITTI's average precisions of guessing without looking, under ``baseline_kitti/``.

    Those with 40 recall points at the strict overlaps alone: what results are compared in.

    A class's objects in the training pictures are sorted into rows of distance and each row into cells of viewing
    angle, so that all cells have as many. The mean object of each cell is a guess in every picture.

    Args:
        train: arguments of the generated training pictures.
        grid: rows of distance, and cells of viewing angle in each.
        **kwargs: everything else as in :class:`mm_monodino_detr.evaluation.kitti_metric.KittiMetric3D`.
    """

    default_prefix = "baseline_kitti"

    def __init__(self, train: dict | None = None, grid: tuple[int, int] = (4, 4), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.train, self.grid = train, grid

    @cached_property
    def guesses(self) -> dict[str, torch.Tensor]:
        """What is predicted for every picture.

        A score is how many objects a cell has for each training picture, at most 1.
        """
        folder = generated_folder(self.train)
        frames = read_split(folder / "ImageSets/train.txt")
        labelled = [read_objects(folder / f"training/label_2/{frame}.txt") for frame in frames]
        labels, guessed, scores = [], [], []
        for label, name in enumerate(self.classes):
            members = np.concatenate([objects.values[objects.names == name] for objects in labelled])
            for cell in _cells(KittiObjects(np.full(len(members), name), members), self.grid):
                labels.append(label)
                guessed.append(_mean_object(cell))
                scores.append(min(len(cell) / len(frames), 1.0))
        values = KittiObjects(np.array(labels), np.array(guessed).reshape(-1, 14))
        return dict(
            labels=torch.tensor(labels, dtype=torch.int64),
            scores=torch.tensor(scores, dtype=torch.float64),
            bboxes=torch.from_numpy(values.boxes),
            bboxes_3d=torch.from_numpy(values.boxes_3d),
            alphas=torch.from_numpy(values.alphas),
        )

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take the guesses in the place of a batch's predictions."""
        super().process(data_batch, [{**sample, "pred_instances": self.guesses} for sample in data_samples])

    def compute_metrics(self, results: list[tuple[str, str, str]]) -> dict[str, float]:
        """Evaluate all frames as :class:`mm_monodino_detr.evaluation.kitti_metric.KittiMetric3D` does."""
        every = super().compute_metrics(results)
        return {name: value for name, value in every.items() if "_R40_" in name and not name.endswith("_loose")}


def _cells(objects: KittiObjects, grid: tuple[int, int]) -> Iterator[KittiObjects]:
    """Yield the objects of each cell that has some."""
    rows, columns = grid
    angles = np.arctan2(objects.locations[:, 0], objects.locations[:, 2])
    for row in np.array_split(objects.locations[:, 2].argsort(), rows):
        for cell in np.array_split(row[angles[row].argsort()], columns):
            if len(cell):
                yield KittiObjects(objects.names[cell], objects.values[cell])


def _mean_object(objects: KittiObjects) -> np.ndarray:
    """Return the mean of objects ``(14,)``; its heading is that of the mean direction."""
    mean = objects.values.mean(0)
    rotation = np.arctan2(np.sin(objects.rotations).mean(), np.cos(objects.rotations).mean())
    (x, _, z) = mean[10:13]
    mean[13] = rotation
    mean[2] = np.remainder(rotation - np.arctan2(x, z) + np.pi, 2 * np.pi) - np.pi
    return mean
