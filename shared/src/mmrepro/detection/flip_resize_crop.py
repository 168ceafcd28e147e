"""The training augmentation of DETR and its successors, of mmdet's transforms and a paper's own resize."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FlipResizeCrop(BaseTransform):
    """Flip; then resize, or with equal probability resize, crop and resize again.

    Boxes are clipped to a crop, and those that it leaves no extent are dropped with all that is listed with them. An
    image may be left without any; a mask may be left without a pixel.

    Args:
        resize_type: the registered transform that resizes; its ``scale`` is ``(longest, shortest)``, or one number for
            the shorter side without a limit.
        short_sides: lengths of the shorter side at the end, of which one is drawn.
        longest: limit of the longer side at the end.
        first_short_sides: lengths of the shorter side before the crop, of which one is drawn; without a limit.
        crop: least and greatest height and width of the crop; each is drawn, and neither exceeds the picture.
        flip_prob: probability of flipping from left to right.
    """

    def __init__(
        self,
        resize_type: str,
        short_sides: Sequence[int],
        longest: int = 1333,
        first_short_sides: Sequence[int] = (400, 500, 600),
        crop: tuple[int, int] = (384, 600),
        flip_prob: float = 0.5,
    ) -> None:
        def resize(scales: list) -> dict:
            return dict(type="RandomChoiceResize", scales=scales, resize_type=resize_type)

        final = resize([(longest, side) for side in short_sides])
        cropped = dict(
            type="mmdet.RandomCrop", crop_type="absolute_range", crop_size=tuple(crop), allow_negative_crop=True
        )
        self.steps = Compose(
            [
                dict(type="mmdet.RandomFlip", prob=flip_prob),
                dict(type="RandomChoice", transforms=[[final], [resize(list(first_short_sides)), cropped, final]]),
            ]
        )

    def transform(self, results: dict) -> dict:
        """Augment one sample."""
        return self.steps(results)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.steps})"
