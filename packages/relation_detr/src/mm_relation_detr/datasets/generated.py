"""Generated pictures in COCO's format as a data set: the quickstart and the tiny versions of all configs read them."""

from __future__ import annotations

from typing import Any

from mmdet.registry import DATASETS

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, PICTURES, coco_folder

from .relation_coco import RelationCocoDataset


@DATASETS.register_module()
class GeneratedCocoDataset(RelationCocoDataset):
    """``RelationCocoDataset`` of generated pictures.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`.
        kwargs: everything else as in :class:`RelationCocoDataset`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        root = str(coco_folder(**(generate or {})))
        super().__init__(data_root=root, ann_file=ANNOTATIONS, data_prefix=dict(img=f"{PICTURES}/"), **kwargs)
