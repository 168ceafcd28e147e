"""Generated scenes read as KITTI: the quickstart and the tiny versions of configs train on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS

from mm_monodino_detr.datasets.kitti_object import Kitti3DDataset
from mmrepro.datasets.generated.kitti_scenes import kitti_folder


@DATASETS.register_module()
class GeneratedKitti3DDataset(Kitti3DDataset):
    """``Kitti3DDataset`` of generated scenes.

    Args:
        generate: arguments of :func:`mmrepro.datasets.generated.kitti_scenes.kitti_folder`; sequences may be lists.
        kwargs: everything else as in :class:`mm_monodino_detr.datasets.kitti_object.Kitti3DDataset`.
    """

    def __init__(self, generate: dict | None = None, **kwargs: Any) -> None:
        super().__init__(data_root=str(generated_folder(generate)), **kwargs)


def generated_folder(generate: dict | None) -> Path:
    """Return the folder of a config's settings, whose sequences may be lists; the same one for the same settings."""
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in (generate or {}).items()}
    return kitti_folder(**settings)
