"""The rows of a table to classify, split and numbered as the official tabular scripts do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.table import MISSING, Missing, TableError, column_name, read_table, without_missing
from mm_meta_transformer.datasets.table_codes import TableCodes
from mmrepro import safe_loading

SPLITS = ("train", "val", "test")


@DATASETS.register_module()
class TableDataset(BaseDataset):
    """Rows of one or several files of delimited text, one column of which is to be told from the others.

    The files are put together and shuffled, rows with missing cells left out, and 80 / 10 / 10 per cent taken for
    training, validation and testing, the classes in the same shares. Codes, means and deviations are those of the
    training rows; they stand in ``metainfo["table"]`` and so in every checkpoint (:class:`.TableCodes`). New rows are
    read with the codes of a checkpoint: ``split="all", codes="best.pth"``.

    A sample has ``codes`` ``(K,)`` int64, ``values`` ``(V,)`` float32, ``gt_label``, and ``row``, its place among all
    rows that are not left out.

    Args:
        files: the files, below ``data_root`` if that is given; ``.gz`` as well.
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` for all rows, numbered as the training rows are.
        target: the column to tell.
        classes: its values, the first is class 0. Upper and lower case are the same, also in names of columns.
        continuous: columns of numbers; all other ones are categorical.
        drop: columns to leave out.
        names, separator, comment: see :func:`.read_table`.
        missing, marks: see :func:`.without_missing`.
        sizes: by categorical column how many codes to keep: all of them are named, or none. ``None`` keeps as many as
            the training rows have values.
        shared_codes: see :class:`.TableCodes`.
        codes: what :meth:`.TableCodes.plain` returned, or a checkpoint of ours that holds it: nothing is learnt then.
        shuffle_seed: of the order of rows; the official scripts shuffle Adult without one.
        split_seed: ``random_state`` of scikit-learn's ``train_test_split``.
        kwargs: everything else as in :class:`mmpretrain.datasets.BaseDataset`; ``indices`` takes the first rows.

    Raises:
        FileNotFoundError: a file is missing.
        TableError: a file is no such table, the target has a value that is none of the classes, a categorical column
            has no size though others have one, a size is that of no column, or the checkpoint holds no codes.
        DataError: an option has no meaning.
    """

    READING: ClassVar[dict[str, Any]] = {}
    """How files of this set are read, where that is the same for all of them: arguments of :func:`.read_table`."""

    def __init__(
        self,
        files: str | Sequence[str],
        split: Literal["train", "val", "test", "all"],
        *,
        target: str,
        classes: Sequence[str],
        continuous: Sequence[str] = (),
        drop: Sequence[str] = (),
        names: Sequence[str] | None = None,
        separator: str = ",",
        comment: str | None = None,
        missing: Missing = "drop",
        marks: Sequence[str] = MISSING,
        sizes: Mapping[str, int] | None = None,
        shared_codes: bool = False,
        codes: Mapping[str, Any] | str | Path | None = None,
        shuffle_seed: int = 0,
        split_seed: int = 1,
        data_root: str = "",
        **kwargs: Any,
    ) -> None:
        if split not in (*SPLITS, "all"):
            raise DataError(f"split={split!r} is not known. Fix: one of {', '.join(SPLITS)}, all")
        self.files = [Path(data_root, file) for file in ([files] if isinstance(files, str) else files)]
        self.split, self.target = split, column_name(target)
        self.continuous, self.drop = tuple(map(column_name, continuous)), tuple(map(column_name, drop))
        self.names, self.separator, self.comment = names, separator, comment
        self.missing, self.marks = missing, tuple(marks)
        self.sizes = None if sizes is None else {column_name(name): size for name, size in sizes.items()}
        self.shared_codes, self.codes = shared_codes, codes
        self.shuffle_seed, self.split_seed = shuffle_seed, split_seed
        super().__init__(ann_file="", data_root=data_root, classes=list(classes), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return codes, values and label of each row of the split."""
        path = ", ".join(map(str, self.files))
        frame = pd.concat([read_table(file, self.names, self.separator, self.comment) for file in self.files])
        self._check_columns(list(frame), path)
        frame = without_missing(frame.drop(columns=list(self.drop)), path, self.missing, self.marks)
        labels = self._labels(frame, path)
        order = np.random.default_rng(self.shuffle_seed).permutation(len(frame))
        split = self.codes is None or self.split != "all"  # a few new rows cannot be split, and need not be
        parts = self._parts(order, labels, path) if split else {"all": order}
        if self.codes is None:
            categorical = [name for name in frame if name not in (self.target, *self.continuous)]
            codes = TableCodes.learn(
                frame.iloc[parts["train"]], categorical, self.continuous, self.sizes, self.shared_codes, path
            )
        else:
            codes = TableCodes.of_plain(_stored(self.codes))
        self._metainfo["table"] = codes.plain()
        rows = parts[self.split]
        numbered, values = codes.encode(frame.iloc[rows], f"{path} ({self.split})")
        return [
            dict(codes=numbered[place], values=values[place], gt_label=int(labels[row]), row=int(row))
            for place, row in enumerate(rows)
        ]

    def _check_columns(self, columns: list[str], path: str) -> None:
        """Look whether the options name columns, and where they list them, all of them."""
        named = (self.target, *self.drop, *self.continuous)
        absent = [name for name in (*named, *(self.sizes or ())) if name not in columns]
        if absent:
            raise TableError(
                f"{path} has no column {', '.join(absent)}; it has {', '.join(columns)}. "
                "Fix: target, drop, continuous and sizes (categories of the template) name columns"
            )
        unlisted = [name for name in columns if name not in (*named, *(columns if self.sizes is None else self.sizes))]
        if unlisted:
            raise TableError(
                f"{path}: nothing says what the columns {', '.join(unlisted)} are. Fix: name each in sizes (categories "
                "of the template), in continuous or in drop"
            )

    def _labels(self, frame: pd.DataFrame, path: str) -> np.ndarray:
        known = {str(name).lower(): number for number, name in enumerate(self.metainfo["classes"])}
        # the test file of Adult ends its labels with a full stop
        found = frame[self.target].str.rstrip(".").map(known)
        if found.isna().any():
            place = int(found.isna().to_numpy().argmax())
            raise TableError(
                f"{path}, line {frame.index[place]}: {self.target!r} is {frame[self.target].iat[place]!r}, none of the "
                f"classes {', '.join(known)}. Fix: classes"
            )
        return found.to_numpy(np.int64)

    def _parts(self, order: np.ndarray, labels: np.ndarray, path: str) -> dict[str, np.ndarray]:
        from sklearn.model_selection import train_test_split  # two seconds that a look at a config does without

        def halves(rows: np.ndarray, share: float) -> list[np.ndarray]:
            return train_test_split(rows, test_size=share, stratify=labels[rows], random_state=self.split_seed)

        try:
            train, rest = halves(order, 0.2)
            val, test = halves(rest, 0.5)
        except ValueError as fault:
            raise TableError(
                f"{path}: {len(order)} rows cannot be split 80 / 10 / 10: {fault}. Fix: more rows of each class"
            ) from fault
        return {"train": train, "val": val, "test": test, "all": order}


def _stored(codes: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    """Return the plain codes, those of a checkpoint where that is given."""
    if isinstance(codes, Mapping):
        return codes
    meta = safe_loading.load(Path(codes)).get("meta") or {}
    found = (meta.get("dataset_meta") or {}).get("table")
    if found is None:
        raise TableError(f"{codes} holds no codes of a table. Fix: codes=, a checkpoint of a model trained on a table")
    return found
