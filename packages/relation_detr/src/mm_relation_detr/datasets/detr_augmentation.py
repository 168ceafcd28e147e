"""The augmentation that the official code calls ``detr`` (xiuqhou/Relation-DETR @ b485955), of mmdet's transforms."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type

SHORT_SIDES = tuple(range(480, 801, 32))


@TRANSFORMS.register_module()
class DETRAugmentation(BaseTransform):
    """Flip; then resize, or with equal probability resize, crop and resize again; then drop boxes that became small.

    Args:
        short_sides: lengths of the shorter side at the end, of which one is drawn.
        longest: limit of the longer side at the end.
        first_short_sides: lengths of the shorter side before the crop, of which one is drawn; without a limit.
        crop: least and greatest height and width of the crop; each is drawn, and neither exceeds the picture.
        flip_prob: probability of flipping from left to right.
        min_side: boxes with a side below this many pixels at the end are dropped. An image may be left without any.
    """

    def __init__(
        self,
        short_sides: Sequence[int] = SHORT_SIDES,
        longest: int = 1333,
        first_short_sides: Sequence[int] = (400, 500, 600),
        crop: tuple[int, int] = (384, 600),
        flip_prob: float = 0.5,
        min_side: float = 1.0,
    ) -> None:
        final = _resize([(longest, side) for side in short_sides])
        # RandomCrop clips the boxes and drops those that it leaves no extent; officially they go at the end.
        cropped = dict(
            type="mmdet.RandomCrop", crop_type="absolute_range", crop_size=tuple(crop), allow_negative_crop=True
        )
        self.steps = Compose(
            [
                dict(type="mmdet.RandomFlip", prob=flip_prob),
                dict(
                    type="RandomChoice",
                    transforms=[[final], [_resize(list(first_short_sides)), cropped, final]],
                ),
                dict(type="mmdet.DropSmallBoxes", min_side=min_side),
            ]
        )

    def transform(self, results: dict) -> dict:
        """Augment one sample."""
        return self.steps(results)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.steps})"


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


def _resize(scales: list) -> dict:
    return dict(type="RandomChoiceResize", scales=scales, resize_type="mmdet.TorchResize")
