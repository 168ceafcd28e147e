"""Generated clouds read by the real data sets: for the smoke config and the tiny versions of configs."""

from __future__ import annotations

from typing import Any

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.modelnet40 import ModelNet40Dataset
from mm_meta_transformer.datasets.s3dis import S3DISDataset
from mm_meta_transformer.datasets.scannet import ScanNetDataset
from mm_meta_transformer.datasets.scanobjectnn import ScanObjectNNDataset
from mm_meta_transformer.datasets.shapenetpart import ShapeNetPartDataset
from mmrepro.datasets.generated.point_clouds import modelnet_folder, scanobjectnn_folder
from mmrepro.datasets.generated.point_parts import shapenetpart_folder
from mmrepro.datasets.generated.point_rooms import s3dis_folder, scannet_folder


@DATASETS.register_module()
class GeneratedModelNetDataset(ModelNet40Dataset):
    """:class:`.ModelNet40Dataset` of generated bodies.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.point_clouds.modelnet_folder`.
        kwargs: everything else as in :class:`.ModelNet40Dataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(modelnet_folder(**(generate or {}))), **kwargs)


@DATASETS.register_module()
class GeneratedScanObjectNNDataset(ScanObjectNNDataset):
    """:class:`.ScanObjectNNDataset` of generated scans.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.point_clouds.scanobjectnn_folder`.
        kwargs: everything else as in :class:`.ScanObjectNNDataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(scanobjectnn_folder(**(generate or {}))), **kwargs)


@DATASETS.register_module()
class GeneratedS3DISDataset(S3DISDataset):
    """:class:`.S3DISDataset` of generated rooms.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.point_rooms.s3dis_folder`.
        kwargs: everything else as in :class:`.S3DISDataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(s3dis_folder(**(generate or {}))), **kwargs)


@DATASETS.register_module()
class GeneratedScanNetDataset(ScanNetDataset):
    """:class:`.ScanNetDataset` of generated rooms.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.point_rooms.scannet_folder`.
        kwargs: everything else as in :class:`.ScanNetDataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(scannet_folder(**(generate or {}))), **kwargs)


@DATASETS.register_module()
class GeneratedShapeNetPartDataset(ShapeNetPartDataset):
    """:class:`.ShapeNetPartDataset` of generated objects.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.point_parts.shapenetpart_folder`.
        kwargs: everything else as in :class:`.ShapeNetPartDataset`.
    """

    def __init__(self, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(shapenetpart_folder(**(generate or {}))), **kwargs)
