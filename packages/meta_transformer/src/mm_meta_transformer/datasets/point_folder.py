"""Clouds of one's own: one file for each, one folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.class_folders import class_folders, files_by_class
from mm_meta_transformer.datasets.read_cloud import ENDINGS, read_cloud


@DATASETS.register_module()
class PointFolderDataset(BaseDataset):
    """The files ``<data_root>/<class>/*`` that :func:`.read_cloud` reads, in the order of their names.

    A sample has ``points (N, 3)`` float32, ``gt_label``, and its file's ``path``. Folders whose names begin with ``_``
    or ``.`` are no classes. Files of other endings are left out.

    Args:
        data_root: the folder.
        kwargs: as of mmengine's ``BaseDataset``; ``metainfo=dict(classes=...)`` says which classes there are and in
            which order, by default all folders, sorted.

    Raises:
        FileNotFoundError: the folder, or that of a class, is not there.
        DataError: there is no file.
        CloudError: see :func:`.read_cloud`.
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        # a list of paths needs no serialising, and mmengine's collects garbage for a second first
        super().__init__(data_root=str(data_root), **({"serialize_data": False} | kwargs))

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return path and label of each file."""
        root = Path(self.data_root)
        if "classes" not in self._metainfo:
            self._metainfo["classes"] = class_folders(root)
        found = files_by_class(root, self._metainfo["classes"], ENDINGS)
        return [dict(path=path, gt_label=label) for path, label in found]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return a cloud with its points."""
        info = super().get_data_info(idx)
        return info | dict(points=read_cloud(info["path"]))
