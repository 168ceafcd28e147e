"""Generated pictures and clips, read as real ones: smoke tests and the tiny versions of configs train on them."""

from __future__ import annotations

from typing import Any, ClassVar

from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.regdb import RegDB
from mmrepro.datasets.generated.chest_shadows import chest_folder
from mmrepro.datasets.generated.clips import MOTIONS, clips_folder
from mmrepro.datasets.generated.thermal import regdb_folder, thermal_folder


@DATASETS.register_module()
class GeneratedThermal(CustomDataset):
    """Thermal pictures in class folders.

    Args:
        part: ``"train"`` or ``"test"``.
        generate: arguments of :func:`mmrepro.datasets.generated.thermal.thermal_folder`.
        kwargs: as in mmpretrain's ``CustomDataset``.
    """

    def __init__(self, part: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(thermal_folder(**(generate or {}))), data_prefix=part, **kwargs)


@DATASETS.register_module()
class GeneratedChest(CustomDataset):
    """Drawings of chests in class folders.

    Args:
        part: ``"train"`` or ``"test"``.
        generate: arguments of :func:`mmrepro.datasets.generated.chest_shadows.chest_folder`.
        kwargs: as in mmpretrain's ``CustomDataset``.
    """

    def __init__(self, part: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(chest_folder(**(generate or {}))), data_prefix=part, **kwargs)


@DATASETS.register_module()
class GeneratedClips(CustomDataset):
    """Clips of moving shapes with lists like those of Kinetics.

    Args:
        part: ``"train"`` or ``"val"``.
        generate: arguments of :func:`mmrepro.datasets.generated.clips.clips_folder`.
        kwargs: as in mmpretrain's ``CustomDataset``.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": MOTIONS}

    def __init__(self, part: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        root = str(clips_folder(**(generate or {})))
        super().__init__(data_root=root, data_prefix="", ann_file=f"{part}.txt", **kwargs)


@DATASETS.register_module()
class GeneratedRegDB(RegDB):
    """Drawn persons in RegDB's files.

    Args:
        part: ``"train"`` or ``"test"``.
        generate: arguments of :func:`mmrepro.datasets.generated.thermal.regdb_folder`.
        kwargs: as in :class:`.RegDB`.
    """

    def __init__(self, part: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(regdb_folder(**(generate or {}))), part=part, **kwargs)
