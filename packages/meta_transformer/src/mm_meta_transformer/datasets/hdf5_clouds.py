"""Clouds with one label each from HDF5 files: what ModelNet40 and ScanObjectNN have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mmengine.dataset import BaseDataset

from mm_meta_transformer.datasets.data_error import DataError


class HDF5CloudDataset(BaseDataset):
    """``data (B, N, 3)`` and ``label (B,)`` or ``(B, 1)`` of one or several files, kept in memory.

    A sample has ``points (N, 3)`` float32, ``gt_label``, and ``path``, the file and the row in it.

    Args:
        data_root: folder of the files.
        split: ``"train"`` or ``"test"``.
        kwargs: as of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: there is no file of the split.
        DataError: the split is unknown, a file lacks one of the two, a label has no class, or a coordinate is not
            finite.
    """

    def __init__(self, data_root: str, split: str = "train", **kwargs: Any) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split={split!r} is not known. Fix: 'train' or 'test'")
        self.split = split
        # arrays need no serialising, and mmengine's collects garbage for a second first
        super().__init__(data_root=data_root, **({"serialize_data": False} | kwargs))

    def files(self) -> list[Path]:
        """Return the files of the split."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry for each cloud."""
        found = []
        for path in self.files():
            points, labels = _read(path)
            classes = len(self.metainfo["classes"])
            if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
                raise DataError(
                    f"{path}: labels from {labels.min()} to {labels.max()} for {classes} classes. "
                    "Fix: metainfo=dict(classes=...)"
                )
            for row, (cloud, label) in enumerate(zip(points, labels, strict=True)):
                if not np.isfinite(cloud).all():
                    raise DataError(f"{path}, cloud {row}: a coordinate is not finite. Fix: leave the cloud out")
                found.append(dict(points=cloud, gt_label=int(label), path=f"{path}[{row}]"))
        return found


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Fix: data_root, or see the data set's instructions")
    try:
        with h5py.File(path, "r") as file:
            points, labels = file["data"][()].astype(np.float32), file["label"][()].astype(np.int64).reshape(-1)
    except (OSError, KeyError) as error:
        raise DataError(f"{path} has no arrays data and label, or is damaged: {error}. Fix: fetch it again") from error
    if points.ndim != 3 or points.shape[2] != 3 or len(points) != len(labels):
        raise DataError(f"{path}: data is {points.shape} and label {labels.shape}. Fix: (B, N, 3) and (B,)")
    return points, labels
