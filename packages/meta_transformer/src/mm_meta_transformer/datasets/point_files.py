"""Data sets with one cloud in each file, read when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mm_meta_transformer.datasets.data_error import DataError


class PointFileDataset(BaseDataset):
    """A sample has ``points (N, 3)``, ``colours (N, 3)``, ``gt_points (N,)`` and its file's ``path``.

    Args:
        kwargs: as of mmengine's ``BaseDataset``.

    Raises:
        DataError: a file has other columns, a value that is not finite, or a label without a class; it is named.
    """

    ignored = -100  # label of points that do not count

    def __init__(self, **kwargs: Any) -> None:
        # a list of paths needs no serialising, and mmengine's collects garbage for a second first
        super().__init__(**({"serialize_data": False} | kwargs))

    def read(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points ``(N, 3)``, colours or normals ``(N, 3)`` and labels ``(N,)`` of a file."""
        raise NotImplementedError

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return a cloud with its points."""
        info = super().get_data_info(idx)
        points, colours, labels = self.read(Path(info["path"]))
        if len(points) == 0:
            raise DataError(f"{info['path']} has no points. Fix: leave the file out")
        bad = ~(np.isfinite(points).all(1) & np.isfinite(colours).all(1))
        if bad.any():
            raise DataError(f"{info['path']}, row {int(bad.argmax())}: a value is not finite. Fix: leave the point out")
        known = (labels >= 0) & (labels < len(self.metainfo["classes"])) | (labels == self.ignored)
        if not known.all():
            row = int((~known).argmax())
            raise DataError(f"{info['path']}, row {row}: label {labels[row]} has no class. Fix: the row, or classes")
        return info | dict(
            points=points.astype(np.float32), colours=colours.astype(np.float32), gt_points=labels.astype(np.int64)
        )


def columns(path: Path, values: np.ndarray, count: int = 7) -> np.ndarray:
    """Return ``values`` if it is a table of ``count`` columns.

    Raises:
        DataError: it is not.
    """
    if values.ndim != 2 or values.shape[1] != count:
        raise DataError(f"{path} is {values.shape}. Fix: {count} columns: place, colour or normal, label")
    return values
