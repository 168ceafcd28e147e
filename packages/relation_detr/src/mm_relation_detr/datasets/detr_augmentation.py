"""The augmentation that the official code calls ``detr`` (xiuqhou/Relation-DETR @ b485955), of mmdet's transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type

from mmrepro.detection.flip_resize_crop import FlipResizeCrop

SHORT_SIDES = tuple(range(480, 801, 32))


@TRANSFORMS.register_module()
class DETRAugmentation(FlipResizeCrop):
    """Flip; then resize, or with equal probability resize, crop and resize again; then drop boxes that became small.

    Officially boxes that a crop leaves no extent go at the end too, not at the crop; the result is the same.

    Args:
        short_sides: lengths of the shorter side at the end, of which one is drawn.
        min_side: boxes with a side below this many pixels at the end are dropped. An image may be left without any.
        **kwargs: everything else as in :class:`mmrepro.detection.flip_resize_crop.FlipResizeCrop`.
    """

    def __init__(self, short_sides: Sequence[int] = SHORT_SIDES, min_side: float = 1.0, **kwargs: Any) -> None:
        super().__init__("mmdet.TorchResize", short_sides, **kwargs)
        self.drop = DropSmallBoxes(min_side)

    def transform(self, results: dict) -> dict:
        """Augment one sample."""
        return self.drop(super().transform(results))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.steps}, {self.drop})"


@TRANSFORMS.register_module()
class DropSmallBoxes(BaseTransform):
    """Drop boxes with a side below a length.

    Not mmdet's ``FilterAnnotations``: that drops a side of exactly the length too.

    Args:
        min_side: in pixels.
    """

    def __init__(self, min_side: float = 1.0) -> None:
        self.min_side = min_side

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Filter the boxes and all that is listed with them."""
        boxes = results["gt_bboxes"]
        keep = ((boxes.widths >= self.min_side) & (boxes.heights >= self.min_side)).numpy()
        for key in ("gt_bboxes", "gt_bboxes_labels", "gt_masks", "gt_ignore_flags"):
            if key in results:
                results[key] = results[key][keep]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(min_side={self.min_side})"
