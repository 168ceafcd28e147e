"""ScanObjectNN: scanned objects with background, 2,048 points each (arXiv 1908.04616)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.hdf5_clouds import HDF5CloudDataset

CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow"),
    *("sink", "sofa", "toilet"),
)
HARDEST = "objectdataset_augmentedrot_scale75"


@DATASETS.register_module()
class ScanObjectNNDataset(HDF5CloudDataset):
    """``<folder>/{training,test}_<variant>.h5``; the hardest variant, PB_T50_RS, by default.

    Args:
        data_root: the folder ``h5_files``.
        split: ``"train"`` (11,416 scans of the hardest variant) or ``"test"`` (2,882).
        variant: the files' name after ``training_`` and ``test_``.
        folder: ``"main_split"``, or ``"main_split_nobg"`` for scans without background.
        kwargs: as of mmengine's ``BaseDataset``.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES}

    def __init__(
        self, data_root: str, split: str = "train", variant: str = HARDEST, folder: str = "main_split", **kwargs: Any
    ) -> None:
        self.variant, self.folder = variant, folder
        super().__init__(data_root, split, **kwargs)

    def files(self) -> list[Path]:
        """Return the file of the split."""
        part = "training" if self.split == "train" else "test"
        return [Path(self.data_root) / self.folder / f"{part}_{self.variant}.h5"]
