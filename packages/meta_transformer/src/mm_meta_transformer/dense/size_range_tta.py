"""Testing at several scales, of which each is trusted with objects of some sizes only.

Source: ``HybridTaskCascadeAug`` of invictus717/MetaTransformer @ b08a2be, Image/detection (Apache-2.0): small objects
are looked for in large pictures and large ones in small pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

# COCO's limits of areas in square pixels: more than the first, up to the second
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, float("inf"))}


@MODELS.register_module()
class SizeRangeTTA(DetTTAModel):
    """mmdetection's merging of views, where each scale keeps boxes of its own sizes.

    Masks are not computed: mmdetection merges none, and cannot turn those of a mirrored view back.

    Args:
        size_ranges: for each scale, in the order of the pipeline, the sizes to keep: ``small``, ``medium``, ``large``.
            Every scale has the same number of views, one after the other (as a picture and its mirror image).
        **kwargs: everything else as in mmdetection's ``DetTTAModel``; ``module`` is a detector with a ``roi_head``.

    Raises:
        ValueError: a size is unknown, or the views are not as many for every scale.
    """

    def __init__(self, size_ranges: Sequence[Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if unknown := sorted({size for sizes in size_ranges for size in sizes} - AREAS.keys()):
            raise ValueError(f"size_ranges has {', '.join(unknown)}; there are {', '.join(AREAS)}")
        self.size_ranges = [tuple(sizes) for sizes in size_ranges]

    def test_step(self, data: dict) -> list[DetDataSample]:
        """Return the boxes of some pictures.

        Args:
            data: a batch, whose entries have one item for each view.
        """
        heads = self.module.roi_head
        masks, heads.mask_head = heads.mask_head, None
        try:
            return super().test_step(data)
        finally:
            heads.mask_head = masks

    def merge_preds(self, data_samples_list: list[list[DetDataSample]]) -> list[DetDataSample]:
        """Merge the views of each picture.

        Args:
            data_samples_list: for each picture its views, whose boxes are in pixels of the original picture.
        """
        for views in data_samples_list:
            each, rest = divmod(len(views), len(self.size_ranges))
            if rest:
                raise ValueError(
                    f"a picture has {len(views)} views, and size_ranges names {len(self.size_ranges)} scales. "
                    "Fix: one entry for each scale of tta_pipeline"
                )
            for number, view in enumerate(views):
                found = view.pred_instances
                view.pred_instances = found[within(found.bboxes, self.size_ranges[number // each])]
        return super().merge_preds(data_samples_list)


def within(boxes: Tensor, sizes: Sequence[str]) -> Tensor:
    """Return which boxes (N, 4) have one of the sizes: (N,) bool.

    Args:
        boxes: as (x1, y1, x2, y2) in pixels.
        sizes: names of :data:`AREAS`.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    kept = torch.zeros_like(areas, dtype=torch.bool)
    for low, high in (AREAS[size] for size in sizes):
        kept |= (areas > low) & (areas <= high)
    return kept
