"""ScanNet v2: scanned rooms with 20 classes (arXiv 1702.04405), in the files that OpenPoints reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.point_files import PointFileDataset
from mmrepro.safe_loading import load_from_local

CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "desk", "curtain", "refrigerator", "shower curtain", "toilet", "sink", "bathtub", "otherfurniture"),
)


@DATASETS.register_module()
class ScanNetDataset(PointFileDataset):
    """Rooms ``<split>/*.pth``, each a tuple of places in metres (z is up), colours in [-1, 1] and classes.

    The class -100 is that of points that do not count. Files are read without running anything from them.

    Args:
        data_root: folder of the splits.
        split: ``"train"`` (1,201 rooms) or ``"val"`` (312).
        kwargs: as of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: there is no room of the split.
        DataError: a file holds something else; or as :class:`.PointFileDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES}

    def __init__(self, data_root: str, split: str = "train", **kwargs: Any) -> None:
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry for each room."""
        rooms = sorted((Path(self.data_root) / self.split).glob("*.pth"))
        if not rooms:
            raise FileNotFoundError(f"{self.data_root}/{self.split} has no .pth files. Fix: data_root, or split")
        return [dict(path=str(room)) for room in rooms]

    def read(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points, colours in [0, 255] and labels of a room."""
        room = load_from_local(str(path))
        if not isinstance(room, (tuple, list)) or len(room) < 3:
            raise DataError(f"{path} is no tuple of places, colours and classes. Fix: prepare it as OpenPoints does")
        points, colours, labels = (np.asarray(part) for part in room[:3])
        if points.shape != colours.shape or points.shape[1:] != (3,) or labels.size != len(points):
            raise DataError(f"{path}: {points.shape}, {colours.shape}, {labels.shape}. Fix: (N, 3) twice and (N,)")
        return points, (colours + 1) * 127.5, labels.reshape(-1).astype(np.int64)
