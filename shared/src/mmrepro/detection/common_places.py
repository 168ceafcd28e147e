"""The baseline of detection on generated pictures: boxes at the same places in every picture, without looking at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from mmdet.registry import METRICS

from mmrepro.datasets.coco_file import CocoFile, read_coco
from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, coco_folder
from mmrepro.detection.existing_measures import ExistingMeasures
from mmrepro.detection.shapes import ShapesCocoMetric


class CommonPlaces:
    """Makes a metric of generated pictures one of guesses: a grid of boxes of each category's usual size.

    A category's score is how often the training pictures have it; a guess's mask is its whole box. To be put before a
    COCO metric among the bases of a class; its values then stand under ``baseline_coco/``.

    Args:
        train: arguments of the generated training pictures.
        grid: boxes in each direction.
        **kwargs: everything else as in the metric.
    """

    label_of: ClassVar[Mapping[int, int]]
    """The label of each category."""

    def __init__(self, train: dict | None = None, grid: int = 5, prefix: str = "baseline_coco", **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.train, self.grid = train or {}, grid

    def training(self) -> CocoFile:
        """Return the annotations of the training pictures."""
        return read_coco(coco_folder(**self.train) / ANNOTATIONS)

    @cached_property
    def guesses(self) -> dict[str, torch.Tensor]:
        """Boxes in parts of a picture, ``(N, 4)`` as corners, with their scores and labels."""
        file = self.training()
        listed = [one for annotations in file.annotations.values() for one in annotations]
        sizes = {image["id"]: (image["width"], image["height"]) for image in file.images}
        places = (np.arange(self.grid) + 0.5) / self.grid
        centres = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
        boxes, scores, labels = [], [], []
        for category, label in self.label_of.items():
            members = [one for one in listed if one["category_id"] == category]
            sides = [np.divide(one["bbox"][2:], sizes[one["image_id"]]) for one in members]
            half = np.mean(sides, axis=0) / 2 if sides else np.full(2, 0.1)
            boxes.append(np.concatenate([centres - half, centres + half], axis=1))
            scores += [len(members) / max(len(listed), 1)] * len(centres)
            labels += [label] * len(centres)
        return dict(
            bboxes=torch.tensor(np.concatenate(boxes), dtype=torch.float32),
            scores=torch.tensor(scores),
            labels=torch.tensor(labels),
        )

    def guess(self, height: int, width: int) -> dict[str, torch.Tensor]:
        """Return what is predicted for a picture of this size, boxes in pixels.

        Where masks are measured, with ``masks``, ``(N, height, width)``: the whole boxes.
        """
        found = {**self.guesses, "bboxes": self.guesses["bboxes"] * torch.tensor([width, height, width, height])}
        if "segm" in self.metrics:
            x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
            left, top, right, bottom = found["bboxes"][..., None].unbind(1)  # each (N, 1)
            rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)
            found["masks"] = rows[:, :, None] & columns[:, None]
        return found

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Take the guesses in the place of a batch's predictions."""
        guessed = [{**sample, "pred_instances": self.guess(*sample["ori_shape"][:2])} for sample in data_samples]
        super().process(data_batch, guessed)


@METRICS.register_module()
class ShapesCommonPlacesMetric(CommonPlaces, ExistingMeasures, ShapesCocoMetric):
    """AP of guessing without looking, for boxes and masks.

    Args:
        train: arguments of the generated training pictures.
        grid: boxes in each direction.
        **kwargs: everything else as in :class:`mmrepro.detection.shapes.ShapesCocoMetric`.
    """

    label_of: ClassVar[dict[int, int]] = {category: label for label, category in enumerate(CATEGORIES)}
