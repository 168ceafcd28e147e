"""Texts, or pairs of them, and a class each, from files with a line of column names and tabs between the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS
from sklearn.model_selection import train_test_split

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.text_file import read_text
from mm_meta_transformer.datasets.texts import TextDataset, TextError


@DATASETS.register_module()
class LabelledTextDataset(TextDataset):
    """The lines of a file: one or two columns of texts and one of labels; other columns are not read.

    Args:
        ann_file: a file with a line of column names, without quoting.
        texts: the columns of texts, one or two.
        label: the column of labels.
        classes: names of the classes.
        labels: what stands in the column for each of them; the names where ``None``.
        part: of one file, the ``"train"`` or ``"test"`` part of a seeded, stratified split; ``None`` takes all of it.
        test_share: share of the test part.
        seed: of the split.
        learn_from: the training file, of which a learned vocabulary is made where ``ann_file`` is not it.
        faults: ``"error"``, a line with too few columns or an empty text is an error; ``"drop"``, it is left out, and
            the log says how many (a few of QQP's are).
        kwargs: as in :class:`.TextDataset`.

    Raises:
        FileNotFoundError: no such file.
        TextError: a column is missing, a line has too few columns, a label is unknown, or there is no line.
        DataError: the part is unknown, or there is not one label for each class.
    """

    columns_are_set_by = "texts and label"

    def __init__(
        self,
        ann_file: str,
        *,
        texts: Sequence[str],
        label: str,
        classes: Sequence[str],
        labels: Sequence[str] | None = None,
        part: Literal["train", "test"] | None = None,
        test_share: float = 0.2,
        seed: int = 0,
        learn_from: str | None = None,
        faults: Literal["error", "drop"] = "error",
        **kwargs: Any,
    ) -> None:
        if part not in ("train", "test", None) or faults not in ("error", "drop"):
            raise DataError(f"part={part!r}, faults={faults!r}. Fix: part 'train', 'test' or None; 'error' or 'drop'")
        self.labels = tuple(map(str, classes if labels is None else labels))
        if len(self.labels) != len(classes) or len(set(self.labels)) < len(self.labels):
            raise DataError(f"labels={self.labels} for classes={tuple(classes)}. Fix: one label for each class")
        self.texts, self.label = tuple(texts), label
        self.part, self.test_share, self.seed = part, test_share, seed
        self.learn_from, self.faults = learn_from, faults
        super().__init__(ann_file, metainfo={"classes": tuple(classes)}, **kwargs)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the part."""
        yield from self._part(self.ann_file, self.part)

    def training_texts(self) -> Iterator[str]:
        """Yield the texts of the training file, or of the training part of the one file."""
        rows = self._part(self.learn_from or self.ann_file, None if self.part is None else "train")
        return (text for row in rows for text in row["texts"])

    def _part(self, path: str, part: str | None) -> list[dict[str, Any]]:
        rows = self._read(Path(path))
        if part is None:
            return rows
        labels = [row["gt_label"] for row in rows]
        split = train_test_split(
            np.arange(len(rows)), test_size=self.test_share, random_state=self.seed, stratify=labels
        )
        return [rows[number] for number in sorted(split[part == "test"])]

    def _read(self, path: Path) -> list[dict[str, Any]]:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
        header, *lines = read_text(path).rstrip("\n").split("\n")
        names = [name.strip() for name in header.split("\t")]
        columns = (*self.texts, self.label)
        absent = [name for name in columns if name not in names]
        if absent:
            raise TextError(
                f"{path} has no column {', '.join(absent)}; it has {', '.join(names)}. "
                f"Fix: {self.columns_are_set_by}, or tabs between the columns of the file"
            )
        places = [names.index(name) for name in columns]
        rows, faults = [], []
        for number, line in enumerate(lines, 2):
            cells, where = line.rstrip("\r").split("\t"), f"{path.name}, line {number}"
            found = [cells[place].strip() for place in places] if len(cells) == len(names) else []
            fault = self._fault(found, len(cells), len(names))
            if not fault:
                rows.append({"texts": found[:-1], "gt_label": self.labels.index(found[-1]), "path": where})
            elif self.faults == "error":
                raise TextError(f"{where}: {fault}. Fix: the line, or faults='drop' to leave it out")
            else:
                faults.append(f"{where}: {fault}")
        if faults:
            print_log(f"{type(self).__name__}: {len(faults)} lines are left out, the first one {faults[0]}", "current")
        if not rows:
            raise TextError(f"{path} has no line that can be used")
        return rows

    def _fault(self, found: list[str], cells: int, names: int) -> str | None:
        """Return what is wrong with a line."""
        if not found:
            return f"{cells} columns, the first line has {names}"
        if not all(found[:-1]):
            return "a text is empty"
        return None if found[-1] in self.labels else f"the label is {found[-1]!r}, not {' or '.join(self.labels)}"
