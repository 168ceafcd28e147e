"""Pictures of one's own: one file for each, one folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS, TRANSFORMS

from mm_meta_transformer.datasets.class_folders import class_folders, files_by_class
from mm_meta_transformer.datasets.data_error import DataError
from mmrepro.datasets.image_files import fault_of_file
from mmrepro.datasets.registry import PICTURE_SUFFIXES


@DATASETS.register_module()
class PictureFolderDataset(BaseDataset):
    """The pictures ``<data_root>/<class>/*``, in the order of their names.

    A sample has ``img_path`` and ``gt_label``, the place of its folder in ``classes``, whatever the order of the
    alphabet. Folders whose names begin with ``_`` or ``.`` are no classes.

    Args:
        data_root: the folder.
        kwargs: as of mmengine's ``BaseDataset``; ``metainfo=dict(classes=...)`` says which classes there are and in
            which order, by default all folders, sorted.

    Raises:
        FileNotFoundError: the folder, or that of a class, is not there.
        DataError: there is no picture.
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        # a list of paths needs no serialising, and mmengine's collects garbage for a second first
        super().__init__(data_root=str(data_root), **({"serialize_data": False} | kwargs))

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return path and label of each picture."""
        root = Path(self.data_root)
        if "classes" not in self._metainfo:
            self._metainfo["classes"] = class_folders(root)
        found = files_by_class(root, self._metainfo["classes"], PICTURE_SUFFIXES)
        return [dict(img_path=path, gt_label=label) for path, label in found]


@TRANSFORMS.register_module()
class LoadImageChecked(LoadImageFromFile):
    """Read the local picture ``img_path`` as mmcv does, but let an error name the file and what to do.

    A picture that is cut off is an error too, where mmcv would fill it up with grey.

    Raises:
        DataError: the picture is not there, is empty or cut off, or cannot be decoded.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` ``(H, W, 3)``, blue first, and its shapes."""
        path = results["img_path"]
        if fault := fault_of_file(path):
            raise _unreadable(path, fault)
        try:
            return super().transform(results)
        except (AssertionError, OSError, cv2.error) as error:  # what mmcv makes of nothing decoded
            raise _unreadable(path, "damaged, or no picture") from error


def _unreadable(path: str, fault: str) -> DataError:
    return DataError(f"{path} cannot be read: {fault}. Fix: take it out of the data set, or write it again")
