"""A data set of sound files, one folder for each class."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.class_folders import class_folders
from mm_meta_transformer.datasets.data_error import DataError

SUFFIX = ".wav"


@DATASETS.register_module()
class AudioFilesDataset(BaseDataset):
    """The files ``<data_root>/<class>/*.wav``, in the order of their names.

    Samples have ``path``, ``gt_label`` and ``num_classes``. Folders whose names begin with ``_`` or ``.`` are no
    classes, and those that ``metainfo`` does not name are left out.

    Args:
        data_root: the folder.
        classes: names of the classes in the order of their labels; by default all folders, sorted.
        partners: give every sample another one at random as ``partner``, for :class:`.MixWaveforms`.
        kwargs: as in mmengine.

    Raises:
        FileNotFoundError: the folder, or that of a class, is not there.
        DataError: there is no file.
    """

    def __init__(
        self,
        data_root: str,
        classes: Sequence[str] | None = None,
        partners: bool = False,
        **kwargs: Any,
    ) -> None:
        self.partners = partners
        if classes is not None:
            kwargs["metainfo"] = {**(kwargs.get("metainfo") or {}), "classes": tuple(classes)}
        super().__init__(data_root=str(data_root), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one dict for each file."""
        root = Path(self.data_root)
        if not root.is_dir():
            raise FileNotFoundError(
                f"{root} is no folder. Fix: data_root, or put the data there (`mmrepro data list` says how)"
            )
        if "classes" not in self._metainfo:
            self._metainfo["classes"] = self.find_classes(root)
        classes = self._metainfo["classes"]
        found = [
            dict(path=str(path), gt_label=label, num_classes=len(classes))
            for label, name in enumerate(classes)
            for path in self.files_of(root, name)
        ]
        if not found:
            raise DataError(
                f"{root} holds no {SUFFIX} file of {', '.join(classes) or 'any class'}{self.selection()}. "
                "Fix: data_root or classes"
            )
        return found

    def find_classes(self, root: Path) -> tuple[str, ...]:
        """Return the names of the classes, where nobody gives them.

        Args:
            root: the data set's folder.
        """
        return class_folders(root)

    def files_of(self, root: Path, name: str) -> list[Path]:
        """Return the sorted files of one class.

        Args:
            root: the data set's folder.
            name: the class.

        Raises:
            FileNotFoundError: it has no folder.
        """
        folder = root / name
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} is no folder: the class {name!r} has no files. Fix: classes or data_root"
            )
        files = (path for path in folder.iterdir() if path.suffix.lower() == SUFFIX)
        return sorted(path for path in files if not path.name.startswith("."))

    def selection(self) -> str:
        """Return what an error says of the part of the data that was looked for."""
        return ""

    def prepare_data(self, idx: int) -> Any:
        """Return sample ``idx`` as the pipeline leaves it."""
        info = self.get_data_info(idx)
        if self.partners:
            info["partner"] = self.get_data_info(random.randrange(len(self)))
        return self.pipeline(info)
