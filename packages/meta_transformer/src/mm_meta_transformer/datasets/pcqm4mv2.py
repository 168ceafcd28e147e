"""PCQM4Mv2: molecules as SMILES texts and their HOMO-LUMO gap in electronvolts (OGB-LSC, arXiv 2103.09430)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mmrepro import safe_loading

_PARTS = ("train", "valid", "test-dev", "test-challenge")
_COLUMNS = ("idx", "smiles", "homolumogap")


@DATASETS.register_module()
class PCQM4Mv2Dataset(BaseDataset):
    """Samples with ``smiles``, ``gt_value`` and ``path``, of the files as OGB publishes them.

    Args:
        data_root: the folder ``pcqm4m-v2``, with ``raw/data.csv.gz`` and ``split_dict.pt``.
        part: ``"train"`` (3,378,606 molecules), ``"valid"`` (73,545), or a test part, whose gaps are not published.
        kwargs: as in mmengine's BaseDataset.

    Raises:
        FileNotFoundError: one of the two files is missing.
        DataError: the part is unknown; the table lacks a column; or a gap is missing.
    """

    def __init__(
        self, data_root: str, part: Literal["train", "valid", "test-dev", "test-challenge"] = "train", **kwargs: Any
    ) -> None:
        if part not in _PARTS:
            raise DataError(f"part={part!r} is not known. Fix: one of {', '.join(_PARTS)}")
        self.part = part
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the molecules of the part."""
        table, split = Path(self.data_root, "raw", "data.csv.gz"), Path(self.data_root, "split_dict.pt")
        for file in (table, split):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{file}: no such file. Fix: data_root, or unpack pcqm4m-v2.zip of "
                    "https://ogb.stanford.edu/docs/lsc/pcqm4mv2 there"
                )
        frame = pd.read_csv(table)
        absent = [name for name in _COLUMNS if name not in frame]
        if absent:
            raise DataError(f"{table} has no column {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}")
        rows = np.asarray(safe_loading.load(split)[self.part])
        frame = frame.iloc[rows]
        samples = [
            {"smiles": text, "gt_value": np.float32(gap), "path": f"data.csv.gz, molecule {number}"}
            for number, text, gap in zip(frame.idx, frame.smiles, frame.homolumogap, strict=True)
        ]
        if not self.part.startswith("test") and frame.homolumogap.isna().any():
            row = samples[int(frame.homolumogap.isna().to_numpy().argmax())]["path"]
            raise DataError(f"{table}: {row} has no gap. Fix: a complete copy of the file")
        return samples
