"""RegDB: persons in visible light and in infrared, for recognition across the two cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.text_file import read_text

CAMERAS = ("visible", "thermal")


@DATASETS.register_module()
class RegDB(BaseDataset):
    """Pictures of ``<root>/idx/<part>_<camera>_<trial>.txt``, whose lines are ``<path> <label>``.

    A sample has ``img_path``, ``gt_label``, the person's number in its part, and ``camera``, the camera's name.
    Persons of the two parts are different ones, so their labels have nothing in common.

    Args:
        data_root: the folder that holds ``idx``, ``Visible`` and ``Thermal``.
        part: ``"train"`` or ``"test"``.
        trial: which of the ten random halves of the persons, 1 to 10; the published numbers are their mean.
        cameras: whose pictures, in this order.
        kwargs: ``pipeline`` and the rest of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: a list is not there.
        DataError: part or camera is unknown; a line has no label.
    """

    def __init__(
        self, data_root: str, part: str = "train", trial: int = 1, cameras: Sequence[str] = CAMERAS, **kwargs: Any
    ) -> None:
        if part not in ("train", "test") or not set(cameras) <= set(CAMERAS):
            raise DataError(f"part={part!r} must be 'train' or 'test', and cameras={tuple(cameras)} of {CAMERAS}")
        self.part, self.trial, self.cameras = part, trial, tuple(cameras)
        super().__init__(ann_file="", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the lists."""
        root, samples = Path(self.data_root), []
        for camera in self.cameras:
            listed = root / "idx" / f"{self.part}_{camera}_{self.trial}.txt"
            if not listed.is_file():
                raise FileNotFoundError(
                    f"{listed} is not there. Fix: data_root, the folder with RegDB's folders idx, Visible and Thermal"
                )
            for number, line in enumerate(read_text(listed).splitlines(), 1):
                if not line.strip():
                    continue
                path, _, label = line.strip().rpartition(" ")
                if not path or not label.isdigit():
                    raise DataError(f"{listed}, line {number}: {line!r} is not '<path> <label>'")
                samples.append({"img_path": str(root / path), "gt_label": int(label), "camera": camera})
        return samples
