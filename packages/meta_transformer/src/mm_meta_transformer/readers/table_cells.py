"""Rows of tables, from delimited text, DataFrames and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.table import MISSING, TableError, read_table, without_missing
from mm_meta_transformer.datasets.table_codes import TableCodes
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class RowReader(Reader):
    """Read rows: files of delimited text (``.gz`` too), DataFrames, or a dict of one row's cells.

    Columns that the model does not know are left out. A missing cell or a category that the training data does not hold
    counts as unseen, a missing number as the training rows' mean; a :class:`.TableWarning` counts them.
    """

    modality = "tabular"
    options = frozenset({"names", "separator"})
    suffixes = (".csv", ".data", ".gz", ".tsv", ".txt")

    def read(
        self, source: Any, name: str, names: Sequence[str] | None = None, separator: str | None = None
    ) -> Iterator[Sample]:
        """Yield the rows.

        Args:
            source: a file, a DataFrame or a dict.
            name: what it is called.
            names: of the columns of a file; by default those of the data set, or of the file's first line.
            separator: between a file's cells.

        Raises:
            FileNotFoundError: there is no such file.
            TableError: it is no such table, lacks a column, or a number is none.
            UserError: the input is none of these.
        """
        frame = self._frame(source, name, names, separator)
        codes = TableCodes.of_plain(self.facts["table"])
        columns = [*codes.categories, *codes.continuous]
        if absent := [column for column in columns if column not in frame]:
            raise TableError(f"{name} has no column {', '.join(absent)}; it has {', '.join(map(str, frame))}")
        frame = without_missing(frame[columns], name, "unseen", self.dataset.get("marks", MISSING))
        numbered, values = codes.encode(frame, name)
        for place, (_, row) in enumerate(frame.iterrows()):
            results = {"codes": numbered[place], "values": values[place], "path": f"{name}, row {place}"}
            yield Sample(f"{name}_{place}" if len(frame) > 1 else name, results, {"cells": row.to_dict()})

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return the cells of a row."""
        info = dataset.get_data_info(number)
        frame = TableCodes.of_plain(dataset.metainfo["table"]).decode(info["codes"][None], info["values"][None])
        return frame.iloc[0].to_dict(), {}

    def _frame(self, source: Any, name: str, names: Sequence[str] | None, separator: str | None) -> pd.DataFrame:
        if isinstance(source, Mapping):
            source = pd.DataFrame([dict(source)])
        if isinstance(source, pd.DataFrame):
            # as a file's cells are read
            return (
                source.astype(object)
                .where(source.notna(), "")
                .astype(str)
                .apply(lambda cells: cells.str.strip().str.lower())
            )
        if not isinstance(source, (str, Path)):
            raise UserError(
                f"{name} is a {type(source).__name__}. Fix: a file, a DataFrame, or a dict of a row's cells"
            )
        reading = dict(getattr(DATASETS.get(self.dataset.type), "READING", {}))
        reading |= {key: self.dataset[key] for key in ("names", "separator", "comment") if key in self.dataset}
        given = {"names": names, "separator": separator}
        return read_table(
            existing(source), **(reading | {key: value for key, value in given.items() if value is not None})
        )
