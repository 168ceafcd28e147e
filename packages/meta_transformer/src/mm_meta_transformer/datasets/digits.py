"""scikit-learn's 1,797 scanned digits of 8 x 8 pixels: the smallest real pictures at hand without a download."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS
from sklearn.datasets import load_digits

from mm_meta_transformer.datasets.data_error import DataError

TEST = 360  # a fifth


@DATASETS.register_module()
class ScikitDigits(BaseDataset):
    """A seeded split of the digits; a sample has ``img``, ``(1, 8, 8)`` float32 in [-1, 1], and ``gt_label``.

    Args:
        part: ``"train"``, 1,437 pictures, or ``"test"``, 360.
        seed: of the split.
        count: only so many pictures.
        kwargs: ``pipeline`` and the rest of mmengine's ``BaseDataset``.

    Raises:
        DataError: the part is unknown.
    """

    METAINFO = {"classes": tuple("0123456789")}  # noqa: RUF012  as mmengine has it

    def __init__(self, part: str = "train", seed: int = 0, count: int | None = None, **kwargs: Any) -> None:
        if part not in ("train", "test"):
            raise DataError(f"part={part!r} must be 'train' or 'test'")
        self.part, self.seed, self.count = part, seed, count
        super().__init__(ann_file="", serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the part's pictures."""
        digits = load_digits()
        order = np.random.default_rng(self.seed).permutation(len(digits.target))
        chosen = order[:TEST] if self.part == "test" else order[TEST:]
        pictures = (digits.images / 8 - 1).astype(np.float32)
        return [{"img": pictures[at][None], "gt_label": int(digits.target[at])} for at in chosen[: self.count]]
