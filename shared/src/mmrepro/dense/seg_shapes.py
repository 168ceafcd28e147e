"""Generated pictures with label maps as mmsegmentation's data, for quickstarts and the tiny versions of configs."""

from __future__ import annotations

from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmrepro.datasets.generated import seg_shapes


@DATASETS.register_module()
class GeneratedSegDataset(BaseSegDataset):
    """Generated pictures with label maps: ground, discs, squares and triangles.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.seg_shapes.seg_folder`.
        **kwargs: everything else as in mmsegmentation's ``BaseSegDataset``.
    """

    METAINFO: ClassVar[dict] = dict(classes=seg_shapes.CLASSES, palette=[list(colour) for colour in seg_shapes.PALETTE])

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(
            data_root=str(seg_shapes.seg_folder(**(generate or {}))),
            data_prefix=dict(img_path=seg_shapes.PICTURES, seg_map_path=seg_shapes.MASKS),
            img_suffix=".png",
            **kwargs,
        )
