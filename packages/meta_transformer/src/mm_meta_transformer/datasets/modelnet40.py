"""ModelNet40 as 2,048 points of each shape, in the HDF5 files that PointNet's authors published."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.hdf5_clouds import HDF5CloudDataset

CLASSES = (
    *("airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain"),
    *("desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel"),
    *("monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool"),
    *("table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox"),
)


@DATASETS.register_module()
class ModelNet40Dataset(HDF5CloudDataset):
    """``ply_data_train*.h5`` and ``ply_data_test*.h5`` of the folder ``modelnet40_ply_hdf5_2048``.

    9,840 shapes to train on and 2,468 to test on; y is up. See :class:`.HDF5CloudDataset` for arguments and samples.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES}

    def files(self) -> list[Path]:
        """Return the files of the split."""
        found = sorted(Path(self.data_root).glob(f"ply_data_{self.split}*.h5"))
        if not found:
            raise FileNotFoundError(
                f"{self.data_root} has no ply_data_{self.split}*.h5. "
                "Fix: data_root, the folder modelnet40_ply_hdf5_2048"
            )
        return found
