"""ShapeNetPart: objects of 16 categories with 50 part labels (Yi et al., 2016), the variant with normals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.point_files import PointFileDataset, columns

# By category, in the order of its number: the labels of its parts.
PARTS = {
    "Airplane": (0, 1, 2, 3),
    "Bag": (4, 5),
    "Cap": (6, 7),
    "Car": (8, 9, 10, 11),
    "Chair": (12, 13, 14, 15),
    "Earphone": (16, 17, 18),
    "Guitar": (19, 20, 21),
    "Knife": (22, 23),
    "Lamp": (24, 25, 26, 27),
    "Laptop": (28, 29),
    "Motorbike": (30, 31, 32, 33, 34, 35),
    "Mug": (36, 37),
    "Pistol": (38, 39, 40),
    "Rocket": (41, 42, 43),
    "Skateboard": (44, 45, 46),
    "Table": (47, 48, 49),
}
_LISTS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val"), "test": ("test",)}


@DATASETS.register_module()
class ShapeNetPartDataset(PointFileDataset):
    """``<offset>/<object>.txt``: x, y, z (y is up), the normal, the part; samples also have their ``category``.

    Args:
        data_root: the folder ``shapenetcore_partanno_segmentation_benchmark_v0_normal``.
        split: ``"train"``, ``"val"``, ``"trainval"`` (14,007 objects) or ``"test"`` (2,874).
        kwargs: as of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: a list of the split is absent.
        DataError: the split or a category is unknown; or as :class:`.PointFileDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        "classes": tuple(f"{name} {part}" for name, parts in PARTS.items() for part in range(len(parts)))
    }

    def __init__(self, data_root: str, split: str = "trainval", **kwargs: Any) -> None:
        if split not in _LISTS:
            raise DataError(f"split={split!r} is not known. Fix: one of {', '.join(_LISTS)}")
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry for each object, in the order of the lists."""
        root = Path(self.data_root)
        names = root / "synsetoffset2category.txt"
        lines = [line.split() for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]
        offsets = {offset: name for name, offset in lines}
        found = []
        for part in _LISTS[self.split]:
            listed = root / "train_test_split" / f"shuffled_{part}_file_list.json"
            for entry in json.loads(listed.read_text(encoding="utf-8")):
                offset, name = entry.split("/")[-2:]
                if offsets.get(offset) not in PARTS:
                    raise DataError(f"{listed}: {entry} is of no known category. Fix: the entry, or {names}")
                category = list(PARTS).index(offsets[offset])
                found.append(dict(path=str(root / offset / f"{name}.txt"), category=category))
        return found

    def read(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points, normals and labels of an object."""
        values = columns(path, np.loadtxt(path, dtype=np.float32, ndmin=2))
        return values[:, :3], values[:, 3:6], values[:, 6].astype(np.int64)
