"""AP on generated pictures: the metric finds their annotations itself, and a baseline that never looks at a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, coco_folder

from .relation_coco_metric import RelationCocoMetric


@METRICS.register_module()
class GeneratedCocoMetric(RelationCocoMetric):
    """``RelationCocoMetric`` of generated pictures.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`, those of the data set.
        kwargs: everything else as in :class:`RelationCocoMetric`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(ann_file=str(coco_folder(**(generate or {})) / ANNOTATIONS), **kwargs)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Leave out the measures of sizes that no generated object has: they are -1, which nothing can beat."""
        return {name: value for name, value in super().compute_metrics(results).items() if value != -1}


@METRICS.register_module()
class CommonPlacesMetric(GeneratedCocoMetric):
    """AP of guessing without looking: a grid of boxes of each category's usual size, the same for every picture.

    A category's score is how often the training pictures have it. Its values stand under ``baseline_coco/``.

    Args:
        train: arguments of the generated training pictures.
        grid: boxes in each direction.
        kwargs: everything else as in :class:`GeneratedCocoMetric`.
    """

    def __init__(self, train: dict | None = None, grid: int = 5, prefix: str = "baseline_coco", **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.train, self.grid = train or {}, grid

    @cached_property
    def guesses(self) -> dict[str, torch.Tensor]:
        """Boxes in parts of a picture, ``(N, 4)`` as corners, with their scores and labels, which are raw ids."""
        listed = json.loads((coco_folder(**self.train) / ANNOTATIONS).read_text(encoding="utf-8"))
        sizes = {image["id"]: (image["width"], image["height"]) for image in listed["images"]}
        places = (np.arange(self.grid) + 0.5) / self.grid
        centres = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
        boxes, scores, labels = [], [], []
        for category in CATEGORIES:
            members = [one for one in listed["annotations"] if one["category_id"] == category]
            sides = [np.divide(one["bbox"][2:], sizes[one["image_id"]]) for one in members]
            half = np.mean(sides, axis=0) / 2 if sides else np.full(2, 0.1)
            boxes.append(np.concatenate([centres - half, centres + half], axis=1))
            scores += [len(members) / max(len(listed["annotations"]), 1)] * len(centres)
            labels += [category] * len(centres)
        return dict(
            bboxes=torch.tensor(np.concatenate(boxes), dtype=torch.float32),
            scores=torch.tensor(scores),
            labels=torch.tensor(labels),
        )

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Take the guesses in the place of a batch's predictions."""
        guessed = []
        for sample in data_samples:
            height, width = sample["ori_shape"]
            boxes = self.guesses["bboxes"] * torch.tensor([width, height, width, height])
            guessed.append({**sample, "pred_instances": {**self.guesses, "bboxes": boxes}})
        super().process(data_batch, guessed)
