"""Generated pictures as data sets: the quickstart and the tiny versions of all configs read them."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS as DETECTION_DATASETS
from mmseg.registry import DATASETS as SEGMENTATION_DATASETS

from mm_vit_comer.datasets.folder_seg import FolderSegDataset
from mmrepro.datasets.generated import coco_shapes, seg_shapes

DETECTION_CLASSES = tuple(coco_shapes.CATEGORIES.values())


@SEGMENTATION_DATASETS.register_module()
class GeneratedSegDataset(FolderSegDataset):
    """Generated pictures with label maps: ground, discs, squares and triangles.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.seg_shapes.seg_folder`.
        **kwargs: everything else as in :class:`FolderSegDataset`.
    """

    METAINFO: ClassVar[dict] = dict(classes=seg_shapes.CLASSES, palette=[list(colour) for colour in seg_shapes.PALETTE])

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(
            data_root=str(seg_shapes.seg_folder(**(generate or {}))),
            data_prefix=dict(img_path=seg_shapes.PICTURES, seg_map_path=seg_shapes.MASKS),
            **kwargs,
        )


@DETECTION_DATASETS.register_module()
class CoMerGeneratedCocoDataset(CocoDataset):
    """Generated pictures in COCO's format, with boxes and polygons: discs, squares and triangles.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.coco_shapes.coco_folder`.
        **kwargs: everything else as in mmdet's ``CocoDataset``.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=DETECTION_CLASSES, palette=[tuple(colour) for colour in seg_shapes.PALETTE[1:]]
    )

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(
            data_root=str(coco_shapes.coco_folder(**(generate or {}))),
            ann_file=coco_shapes.ANNOTATIONS,
            data_prefix=dict(img=f"{coco_shapes.PICTURES}/"),
            **kwargs,
        )
