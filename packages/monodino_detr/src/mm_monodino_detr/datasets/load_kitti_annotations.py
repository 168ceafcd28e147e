"""Which labelled objects of a picture are trained on, by JihyeokKim/MonoDINO-DETR @ 65004cc."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from mm_monodino_detr.datasets.mono3d_targets import LabelledObjects

_LEAST_HEIGHT, _MOST_TRUNCATED, _MOST_OCCLUDED = 25, 0.5, 2  # KITTI's level "hard"


@TRANSFORMS.register_module()
class LoadKittiAnnotations3D(BaseTransform):
    """Choose the objects to train on: of a trained class, at most KITTI's level "hard", within a range of depths.

    Here the height of the 2D box is bottom - top + 1, other than in the evaluation. Those whose centre is out of view
    are left out later, when the augmentation is known.

    Args:
        max_objects: lines of the label file that are looked at; the rest is left out.
        depth_range: least and greatest depth in metres.

    Reads ``objects`` and ``labels`` of
    :class:`mm_monodino_detr.datasets.kitti_object.Kitti3DDataset`; writes ``gt_objects``.

    Raises:
        KeyError: the data set has no labels.
    """

    def __init__(self, max_objects: int = 50, depth_range: tuple[float, float] = (2.0, 65.0)) -> None:
        self.max_objects = max_objects
        self.depth_range = tuple(depth_range)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Choose the objects of a sample."""
        if "objects" not in results:
            raise KeyError(
                f"{results.get('img_path', 'a picture')} comes without labels. Fix: data_prefix=dict(label=...) of the "
                "data set, or no LoadKittiAnnotations3D where there are none"
            )
        found, labels = results["objects"], np.asarray(results["labels"])
        boxes, depths = found.boxes, found.locations[:, 2]
        kept = (
            (labels >= 0)
            & (np.arange(len(labels)) < self.max_objects)
            & (boxes[:, 3] - boxes[:, 1] + 1 >= _LEAST_HEIGHT)
            & (found.truncated <= _MOST_TRUNCATED)
            & (found.occluded <= _MOST_OCCLUDED)
            & (depths >= self.depth_range[0])
            & (depths <= self.depth_range[1])
        )
        rows = np.flatnonzero(kept)
        results["gt_objects"] = LabelledObjects(
            rows=rows,
            labels=labels[rows],
            boxes=boxes[rows],
            sizes=found.sizes[rows],
            locations=found.locations[rows],
            rotations=found.rotations[rows],
        )
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_objects={self.max_objects}, depth_range={self.depth_range})"
