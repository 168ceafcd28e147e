"""Rows of tables, from delimited text, DataFrames and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.table import MISSING, TableError, column_name, read_table, without_missing
from mm_meta_transformer.datasets.table_codes import TableCodes
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class RowReader(Reader):
    """Read rows: files of delimited text (``.gz`` too), DataFrames, or a dict of one row's cells.

    Columns are found whatever upper and lower case, and those that the model does not know are left out. Numbers among
    categories are compared by value: 19.0, as pandas has it in a column with gaps, is the category ``19``.

    A missing cell or a category that the training data does not hold counts as unseen, a missing number as the training
    rows' mean; a :class:`.TableWarning` counts them, and ``repairs`` of a row's prediction name the columns.
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
            TableError: it is no such table, lacks a column or has it twice, or a number is none.
            UserError: the input is none of these.
        """
        codes = TableCodes.of_plain(self.facts["table"])
        columns = [*codes.categories, *codes.continuous]
        frame = self._frame(source, name, names, separator)
        folded = {column_name(column): column for column in columns}
        frame = frame.rename(columns=lambda column: folded.get(column_name(column), column))
        if absent := [column for column in columns if column not in frame]:
            raise TableError(f"{name} has no column {', '.join(absent)}; it has {', '.join(map(str, frame))}")
        frame = frame[columns]
        if not frame.columns.is_unique:
            raise TableError(
                f"{name} has {', '.join(frame.columns[frame.columns.duplicated()])} twice. Fix: leave one out"
            )
        if not isinstance(source, (str, Path)):
            frame = pd.DataFrame(
                {column: _texts(frame[column], codes.categories.get(column, ())) for column in columns}, frame.index
            )
        frame = without_missing(frame, name, "unseen", self.dataset.get("marks", MISSING))
        numbered, values = codes.encode(frame, name)
        for place, row in enumerate(frame.to_dict("records")):
            results = {"codes": numbered[place], "values": values[place], "path": f"{name}, row {place}"}
            unseen = [column for column, code in zip(codes.categories, numbered[place], strict=True) if not code]
            repairs = [f"{column} missing" for column in columns if row[column] == ""]
            repairs += [f"{column} unseen in training" for column in unseen if row[column] != ""]
            yield Sample(f"{name}_{place}" if len(frame) > 1 else name, results, {"cells": row}, tuple(repairs))

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return the cells of a row."""
        info = dataset.get_data_info(number)
        frame = TableCodes.of_plain(dataset.metainfo["table"]).decode(info["codes"][None], info["values"][None])
        return frame.iloc[0].to_dict(), {}

    def _frame(self, source: Any, name: str, names: Sequence[str] | None, separator: str | None) -> pd.DataFrame:
        if isinstance(source, Mapping):
            return pd.DataFrame([dict(source)])
        if isinstance(source, pd.DataFrame):
            return source
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


def _texts(cells: pd.Series, categories: Sequence[str]) -> list[str]:
    """Return cells as a file's are read; a number that is no category as it is written, as one of the same value."""
    by_value = {}
    for text in categories:
        with suppress(ValueError):
            by_value[float(text)] = text
    found = []
    for cell in cells:
        missing = pd.api.types.is_scalar(cell) and pd.isna(cell)
        text = "" if missing else str(cell).strip().lower()
        if isinstance(cell, Real) and not isinstance(cell, bool) and text not in categories:
            text = by_value.get(float(cell), text)
        found.append(text)
    return found
