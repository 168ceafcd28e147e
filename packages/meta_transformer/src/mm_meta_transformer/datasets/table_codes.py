"""From a table's cells to what the tabular tokenizer reads: numbered categories and standardised values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mm_meta_transformer.datasets.table import TableError, TableWarning, numbers


@dataclass(frozen=True)
class TableCodes:
    """How cells become numbers, learnt from the training rows.

    Attributes:
        categories: by categorical column its values, in the order in which they appear first.
        sizes: by categorical column how many codes are kept for it, at least as many as it has values.
        continuous: by continuous column the mean and the deviation of its training rows.
        shared: each column's codes start at 1, so that different columns share rows of the embedding table, as the
            official scripts have it (specification, 9.1). Otherwise each column has codes of its own.
    """

    categories: dict[str, tuple[str, ...]]
    sizes: dict[str, int]
    continuous: dict[str, tuple[float, float]]
    shared: bool = False

    @classmethod
    def learn(
        cls,
        frame: pd.DataFrame,
        categorical: Sequence[str],
        continuous: Sequence[str] = (),
        sizes: Mapping[str, int] | None = None,
        shared: bool = False,
        path: str = "the table",
    ) -> TableCodes:
        """Return the codes of training rows.

        Args:
            frame: the rows, cells as text, missing ones empty.
            categorical, continuous: names of columns.
            sizes: by column how many codes to keep, so that a model's size does not depend on the split; as many as
                the column has values where it says nothing.
            shared: see the class.
            path: what errors call the table.

        Raises:
            TableError: a column is missing, has more values than ``sizes`` says, or holds nothing at all.
        """
        absent = [name for name in (*categorical, *continuous) if name not in frame]
        if absent:
            raise TableError(
                f"{path} has no column {', '.join(absent)}; it has {', '.join(frame)}. Fix: the header, or the options"
            )
        found = {name: tuple(value for value in dict.fromkeys(frame[name]) if value) for name in categorical}
        kept = {name: int((sizes or {}).get(name, len(values))) for name, values in found.items()}
        for name, values in found.items():
            if len(values) > kept[name]:
                raise TableError(
                    f"{path}: column {name!r} has {len(values)} different values, {kept[name]} are foreseen. Fix: "
                    f"{name}={len(values)} in sizes (categories of the template), num_codes of the tokenizer as well, "
                    "or make the column continuous"
                )
        scales = {name: _scale(numbers(frame, name, path), name, path) for name in continuous}
        return cls(found, kept, scales, shared)

    @property
    def num_codes(self) -> int:
        """The largest code: ``num_codes`` of the tokenizer."""
        return max(self.sizes.values(), default=0) if self.shared else sum(self.sizes.values())

    def encode(self, frame: pd.DataFrame, path: str = "the table") -> tuple[np.ndarray, np.ndarray]:
        """Return codes and values of rows.

        A value that the training rows do not hold gets code 0, a missing number the mean of the training rows; a
        :class:`.TableWarning` counts the former by column.

        Args:
            frame: the rows, cells as text, missing ones empty.
            path: what warnings and errors call the table.

        Returns:
            ``(R, K)`` int64 and ``(R, V)`` float32, standardised.

        Raises:
            TableError: a column is missing, or a cell of a continuous one is no number.
        """
        absent = [name for name in (*self.categories, *self.continuous) if name not in frame]
        if absent:
            raise TableError(
                f"{path} has no column {', '.join(absent)}; it has {', '.join(frame)}. Fix: the header, or the options"
            )
        codes = np.zeros((len(frame), len(self.categories)), np.int64)
        unseen, offset = {}, 0
        for column, (name, values) in enumerate(self.categories.items()):
            first = 1 if self.shared else 1 + offset
            numbered = {value: first + place for place, value in enumerate(values)}
            codes[:, column] = frame[name].map(numbered).fillna(0).astype(np.int64)
            count = int(((codes[:, column] == 0) & (frame[name] != "").to_numpy()).sum())
            unseen |= {name: count} if count else {}
            offset += self.sizes[name]
        if unseen:
            listed = ", ".join(f"{name!r} {count}" for name, count in unseen.items())
            warnings.warn(
                f"{path}: values that the training rows do not hold get code 0: {listed}", TableWarning, stacklevel=2
            )
        scaled = [
            np.nan_to_num((numbers(frame, name, path) - mean) / std) for name, (mean, std) in self.continuous.items()
        ]
        return codes, np.array(scaled, np.float32).reshape(len(scaled), len(frame)).T

    def decode(self, codes: np.ndarray, values: np.ndarray) -> pd.DataFrame:
        """Return the cells of numbered rows; code 0 becomes the empty text.

        Args:
            codes: ``(R, K)``.
            values: ``(R, V)``, standardised.
        """
        columns, offset = {}, 0
        for place, (name, known) in enumerate(self.categories.items()):
            first = 1 if self.shared else 1 + offset
            columns[name] = [known[code - first] if code else "" for code in codes[:, place].tolist()]
            offset += self.sizes[name]
        for place, (name, (mean, std)) in enumerate(self.continuous.items()):
            columns[name] = [f"{value:.6g}" for value in values[:, place] * std + mean]
        return pd.DataFrame(columns)

    def plain(self) -> dict[str, Any]:
        """Return this as dicts and lists, for the meta of a checkpoint."""
        return {
            "categories": {name: list(values) for name, values in self.categories.items()},
            "sizes": dict(self.sizes),
            "continuous": {name: list(scale) for name, scale in self.continuous.items()},
            "shared": self.shared,
        }

    @classmethod
    def of_plain(cls, stored: Mapping[str, Any]) -> TableCodes:
        """Return what :meth:`plain` stored."""
        return cls(
            {name: tuple(values) for name, values in stored["categories"].items()},
            dict(stored["sizes"]),
            {name: (mean, std) for name, (mean, std) in stored["continuous"].items()},
            stored["shared"],
        )


def _scale(values: np.ndarray, name: str, path: str) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        raise TableError(f"{path}: column {name!r} holds no number. Fix: leave it out of continuous")
    return float(values.mean()), float(values.std()) or 1.0  # a constant column becomes 0
