"""Sliding windows over a multivariate time series: one array in memory, windows as views, whole batches by indexing.

The protocol is that of the Informer family of codes (thuml/iTransformer @ c2426e6, ``data_provider/data_loader.py``):
values scaled by mean and population standard deviation of the training rows, windows of ``seq_len`` known and
``pred_len`` future rows at every position of the split. The sets differ in how they are read and split: a subclass says
so.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import Dataset

from mmrepro.datasets import registry
from mmrepro.datasets.partial_variates import PartialVariates
from mmrepro.datasets.series import Series, SeriesError, SeriesWarning, read_csv
from mmrepro.datasets.time_features import calendar_features, time_features

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@FUNCTIONS.register_module()
def identity_collate(batch: dict) -> dict:
    """Return a batch that the data set has already put together."""
    return batch


class WindowDataset(Dataset, ABC):
    """Windows of one split of a series; a subclass gives ``borders`` and, where the file is no CSV file, ``read``.

    A window is a dict: ``inputs`` (L, N), ``marks`` (L, M) or None, ``targets`` (S, N), all float32, with L ``seq_len``
    and S ``pred_len``. ``__getitems__`` returns a finished batch with an axis B in front; use it with
    ``collate_fn=dict(type='identity_collate')``. Only a batch draws variates; a single window has all that are kept.

    Args:
        split: "train", "val" or "test".
        data: name of the set in the registry, or
        file: path of a file (as it is, or below a data root).
        data_root: searched first; then ``$MMREPRO_DATA_ROOT`` and ``./data``.
        features: "M": all variates in and out; "S": the target alone; "MS": all in, the target out.
        target: the target's column; it is moved to the last position. Needed only for "S" and "MS".
        freq: frequency of the time features (the published runs use "h" for every set).
        time_features: True: floats in [-0.5, 0.5]; "calendar": integers; False: no marks.
        scale: scale each variate by the training rows' mean and standard deviation.
        variates: keep only these columns, by name or position, in this order: a data set of these alone. Or a dict of
            ``PartialVariates``: train on ``dict(first=27)``, or in each batch on ``dict(random=27)`` of all; the
            columns and the scaler in ``metainfo`` are then those of the whole series, which the model is to forecast.
            What draws is for the training split alone.
        future_marks: give ``future_marks`` (S, M) too, the time features of the steps to forecast; None without marks.
        date_column, date_format, encoding: how to read a CSV file, see ``series.read_csv``.

    Raises:
        SeriesError: the file cannot be read, or its split has fewer rows than one window.
        DataNotFoundError, DataCorruptError: the registry's file is missing or wrong.
        FileNotFoundError: ``file`` does not exist.
        ValueError: an option has no meaning.
    """

    quarter_hours = False  # whether time_features="calendar" has the quarter of the hour too

    def __init__(
        self,
        split: Split,
        seq_len: int = 96,
        pred_len: int = 96,
        *,
        data: str | None = None,
        file: str | Path | None = None,
        data_root: str | Path | None = None,
        features: Literal["M", "S", "MS"] = "M",
        target: str = "OT",
        freq: str = "h",
        time_features: bool | Literal["calendar"] = True,
        scale: bool = True,
        variates: Sequence[str | int] | Mapping[str, int | bool] | None = None,
        future_marks: bool = False,
        date_column: str | None = "date",
        date_format: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        _one_of("split", split, SPLITS)
        _one_of("features", features, ("M", "S", "MS"))
        _one_of("time_features", time_features, (True, False, "calendar"))
        if seq_len < 1 or pred_len < 1:
            raise ValueError(f"seq_len={seq_len} and pred_len={pred_len} must be at least 1")
        self.split, self.seq_len, self.pred_len = split, seq_len, pred_len
        self.data, self.file, self.data_root = data, file, data_root
        self.features, self.target, self.freq = features, target, freq
        self.time_features = time_features
        self.date_column, self.date_format, self.encoding = date_column, date_format, encoding
        self.future_marks = future_marks
        if isinstance(variates, (str, int)):
            raise ValueError(f"variates={variates!r} is no list. Fix: give [{variates!r}], or dict(first=K)")
        self.partial = PartialVariates.of(variates) if isinstance(variates, Mapping) else None
        if self.partial:
            self._check_partial()

        series = self._choose_columns(self.read(), None if self.partial else variates)
        if self.time_features and series.dates is None:
            raise SeriesError(f"{series.path} has no dates. Fix: set time_features=False")
        train = slice(*self._checked_borders(series, "train"))
        start, stop = self._checked_borders(series, split)
        mean, std = _scaler(series.values[train], series) if scale else _no_scaler(series)
        self._of_all = {"columns": list(series.columns), "mean": mean.tolist(), "std": std.tolist()}
        kept = self._kept(series)
        self.columns, self.mean, self.std = series.columns[kept], mean[kept], std[kept]
        self.dates = None if series.dates is None else series.dates[start:stop]

        values = self.fill((series.values[start:stop, kept] - self.mean) / self.std)
        self.values = torch.from_numpy(values.astype(np.float32))  # (T, V)
        self.marks = self._marks()  # (T, M) or None
        # Views: (W, L + S, V), and (W, L, M) or (W, L + S, M)
        self._windows = self.values.unfold(0, seq_len + pred_len, 1).transpose(1, 2)
        self._mark_windows = None
        if self.marks is not None:
            length = seq_len + (pred_len if future_marks else 0)
            self._mark_windows = self.marks.unfold(0, length, 1).transpose(1, 2)[: len(self._windows)]
        self._outputs = slice(-1, None) if features == "MS" else slice(None)

    @abstractmethod
    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the first row of a split and the row after its last; validation and test include their look-back."""

    def read(self) -> Series:
        """Return the whole series."""
        return read_csv(self.path(), date_column=self.date_column, date_format=self.date_format, encoding=self.encoding)

    def fill(self, values: np.ndarray) -> np.ndarray:
        """Return the split's scaled values (T, V) with what is missing filled; here nothing may be missing."""
        return values

    def path(self) -> Path:
        """Return the file to read: the registry's, verified, or the one that was given."""
        if (self.data is None) == (self.file is None):
            raise ValueError("give either data (a name of the registry) or file (a path)")
        if self.data is not None:
            return next(iter(registry.locate(self.data, self.data_root).values()))
        places = [Path(self.file), *(root / self.file for root in registry.data_roots(self.data_root))]
        return next((place for place in places if place.is_file()), places[0])

    @property
    def metainfo(self) -> dict:
        """What a forecast needs to know of the data, in plain types: columns, scaler, time features, lengths.

        ``trained_columns`` are those that the windows hold. With partial variates, ``columns``, ``mean`` and ``std``
        are of all variates, and ``variates`` says which option chose.
        """
        return {
            "data": self.data or (str(self.file) if self.file else type(self).__name__),
            **self._of_all,
            "trained_columns": list(self.columns),
            "variates": self.partial.option if self.partial else None,
            "freq": self.freq,
            "time_features": self.time_features,
            "quarter_hours": self.quarter_hours,
            "seq_len": self.seq_len,
            "pred_len": self.pred_len,
            "features": self.features,
            "target": self.target,
        }

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> dict[str, Tensor | None]:
        return self._cut(self._windows[index], None if self._mark_windows is None else self._mark_windows[index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor | None]:
        """Return the windows at ``indices`` as one batch, with the variates that it draws."""
        batch = self[indices]
        if self.partial and self.partial.draws:
            drawn = torch.tensor(self.partial.draw(len(self.columns)))
            batch |= {name: batch[name].index_select(-1, drawn) for name in ("inputs", "targets")}
        return batch

    def _cut(self, window: Tensor, marks: Tensor | None) -> dict[str, Tensor | None]:
        known, future = window[..., : self.seq_len, :], window[..., self.seq_len :, self._outputs]
        cut = {"inputs": known, "marks": marks, "targets": future}
        if self.future_marks:
            cut["future_marks"] = None
            if marks is not None:
                cut["marks"], cut["future_marks"] = marks[..., : self.seq_len, :], marks[..., self.seq_len :, :]
        return cut

    def _marks(self) -> Tensor | None:
        if not self.time_features:
            return None
        if self.time_features == "calendar":
            features = calendar_features(self.dates, quarter_hours=self.quarter_hours)
        else:
            features = time_features(self.dates, self.freq)
        return torch.from_numpy(features.astype(np.float32))

    def _choose_columns(self, series: Series, variates: Sequence[str | int] | None) -> Series:
        columns = list(series.columns)
        if self.target in columns:
            columns = [column for column in columns if column != self.target] + [self.target]
        elif self.features != "M":
            raise SeriesError(
                f"{series.path} has no column {self.target!r} (found: {', '.join(columns)}). "
                "Fix: set target to one of them"
            )
        if self.features == "S":
            columns = [self.target]
        if variates is not None:
            try:
                columns = [columns[v] if isinstance(v, int) else columns[columns.index(v)] for v in variates]
            except (IndexError, ValueError) as fault:
                raise SeriesError(
                    f"{series.path}: variates={list(variates)!r} names a column that is not there "
                    f"({len(columns)} columns: {', '.join(columns)}). Fix: choose among these"
                ) from fault
        if self.features == "MS" and columns[-1] != self.target:
            raise ValueError(f"variates must end with the target {self.target!r} when features='MS'")
        return series.select(columns)

    def _check_partial(self) -> None:
        """Complain of what makes no sense whatever the file is.

        Raises:
            ValueError: the combination has no meaning.
        """
        option = f"variates={self.partial.option!r}"
        if self.features == "S":
            raise ValueError(f"features='S' reads the target alone: leave {option} out")
        if self.partial.draws and self.features == "MS":
            raise ValueError(
                f"{option} draws the variates of each batch, but features='MS' needs the target in the last place. "
                "Fix: use features='M'"
            )
        if self.partial.draws and self.split != "train":
            raise ValueError(
                f"{option} draws the variates of each batch, which is for training: the {self.split} split must give "
                "the same numbers every time. Fix: leave variates out of its data set (all are used), or give first"
            )

    def _kept(self, series: Series) -> slice:
        """Return the positions of the variates in the windows."""
        if self.partial is None:
            return slice(None)
        n_variates = len(series.columns)
        try:
            kept = self.partial.kept(n_variates)
        except ValueError as fault:
            raise SeriesError(f"{series.path}: {fault}") from fault
        if self.features == "MS" and kept.stop != n_variates:
            raise ValueError(
                f"variates={self.partial.option!r} keeps the positions {kept.start} to {kept.stop - 1} of {n_variates}"
                f", but features='MS' needs the target {self.target!r}, which is the last. "
                f"Fix: choose the variates by name, the target last: variates=['...', {self.target!r}]"
            )
        return kept

    def _checked_borders(self, series: Series, split: Split) -> tuple[int, int]:
        n_rows, needed = len(series.values), self.seq_len + self.pred_len
        start, stop = self.borders(n_rows, split)
        if stop - start < needed:
            raise SeriesError(
                f"{series.path}: the {split} split has {stop - start} of {n_rows} rows, "
                f"fewer than seq_len + pred_len = {self.seq_len} + {self.pred_len} = {needed}. "
                "Fix: give a longer series, or a shorter seq_len or pred_len"
            )
        return start, stop


def _scaler(train: np.ndarray, series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population standard deviation (V,) of the training rows, NaN ignored; constant variates get 1."""
    mean, variance = np.nanmean(train, axis=0), np.nanvar(train, axis=0)
    # Rounding leaves a constant column a variance of about this much (the rule of scikit-learn's StandardScaler)
    n, eps = len(train), np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * mean * eps) ** 2
    if constant.any():
        names = [series.columns[i] for i in np.flatnonzero(constant)]
        warnings.warn(
            f"{series.path}: {len(names)} constant variates in the training rows, the first is column {names[0]!r}; "
            "they are scaled by 1",
            SeriesWarning,
            stacklevel=3,
        )
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def _no_scaler(series: Series) -> tuple[np.ndarray, np.ndarray]:
    n_variates = len(series.columns)
    return np.zeros(n_variates), np.ones(n_variates)


def _one_of(option: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ValueError(f"{option}={value!r} is not known. Fix: use one of {', '.join(map(repr, allowed))}")
