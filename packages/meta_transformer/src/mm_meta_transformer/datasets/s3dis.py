"""S3DIS: scanned rooms of six areas with 13 classes (Armeni et al., CVPR 2016), in OpenPoints' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.point_files import PointFileDataset, columns

CLASSES = (
    *("ceiling", "floor", "wall", "beam", "column", "window", "door", "chair", "table", "bookcase", "sofa", "board"),
    "clutter",
)


@DATASETS.register_module()
class S3DISDataset(PointFileDataset):
    """Rooms ``raw/Area_<area>_<room>.npy``: x, y, z in metres (z is up), red, green, blue in [0, 255], class.

    Args:
        data_root: the folder ``s3disfull``.
        split: ``"train"``, all areas but one, or ``"test"``, that one.
        test_area: the area to test on.
        kwargs: as of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: there is no room of the split.
        DataError: the split is unknown; or as :class:`.PointFileDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES}

    def __init__(self, data_root: str, split: str = "train", test_area: int = 5, **kwargs: Any) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split={split!r} is not known. Fix: 'train' or 'test'")
        self.split, self.test_area = split, test_area
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry for each room."""
        rooms = sorted((Path(self.data_root) / "raw").glob("Area_*.npy"))
        tested = f"Area_{self.test_area}_"
        rooms = [room for room in rooms if room.name.startswith(tested) == (self.split == "test")]
        if not rooms:
            raise FileNotFoundError(f"{self.data_root}/raw has no Area_*.npy to {self.split} on. Fix: data_root")
        return [dict(path=str(room)) for room in rooms]

    def read(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points, colours and labels of a room."""
        room = columns(path, np.load(path).astype(np.float32))
        return room[:, :3], room[:, 3:6], room[:, 6].astype(np.int64)
