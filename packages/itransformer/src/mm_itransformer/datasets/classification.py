"""Labelled windows for classification: the UEA archive's ``.ts`` files, or arrays of one's own.

Source: ``UEAloader`` of thuml/Time-Series-Library @ 4e938a1, data_provider/data_loader.py. Changed here: every split is
scaled by the training file's mean and deviation, not by its own.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from mm_itransformer.datasets.files import find_file
from mmrepro.datasets.series import SeriesError


@DATASETS.register_module()
class ClassificationDataset(Dataset):
    """Windows and their classes.

    A sample is a dict: ``inputs`` (L, V) float32, ``labels`` () int64, counted from 0 in the order of the training
    file's sorted class names. ``__getitems__`` returns a finished batch; use it with
    ``collate_fn=dict(type='identity_collate')``.

    Args:
        file: this split's file, as it is or below a data root: ``.ts`` (UEA archive), or ``.npz`` with ``inputs``
            (W, L, V) and ``labels`` (W,), numbers or names.
        train_file: the training split's file, whose scaler and classes count; None if that is ``file``.
        seq_len: length of a window: shorter ones are filled up with zeros after scaling; None for the training file's
            longest.
        data_root: searched first; then ``$MMREPRO_DATA_ROOT`` and ``./data``.

    Raises:
        SeriesError: a file cannot be read, differs from the training file, or has a longer window than ``seq_len``.
        FileNotFoundError: there is no such file.
    """

    def __init__(
        self,
        file: str | Path,
        train_file: str | Path | None = None,
        seq_len: int | None = None,
        data_root: str | Path | None = None,
    ) -> None:
        path = find_file(file, data_root)
        train_path = path if train_file is None else find_file(train_file, data_root)
        windows, names = read_windows(path)
        train, train_names = (windows, names) if train_file is None else read_windows(train_path)
        self.classes = sorted(set(train_names))
        self.n_variates = train[0].shape[1]
        self.seq_len = seq_len or max(map(len, train))
        self._require_fit(train_path, train, train_names)
        self._require_fit(path, windows, names)
        self.mean, self.std = _scaler(np.concatenate(train))
        self.inputs = torch.stack([self._prepared(window) for window in windows])  # (W, L, V)
        self.labels = torch.tensor([self.classes.index(name) for name in names])  # (W,)

    @property
    def metainfo(self) -> dict:
        """What a classifier needs to know of the data, in plain types."""
        return {
            "classes": list(self.classes),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "seq_len": self.seq_len,
        }

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | list[int]) -> dict[str, Tensor]:
        return {"inputs": self.inputs[index], "labels": self.labels[index]}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Return the samples at ``indices`` as one batch."""
        return self[indices]

    def _prepared(self, window: np.ndarray) -> Tensor:
        """Return a window scaled, its gaps filled, at full length."""
        filled = np.column_stack([_without_gaps(series) for series in ((window - self.mean) / self.std).T])
        return torch.from_numpy(np.pad(filled, ((0, self.seq_len - len(window)), (0, 0))).astype(np.float32))

    def _require_fit(self, path: Path, windows: list[np.ndarray], names: list[str]) -> None:
        for number, (window, name) in enumerate(zip(windows, names, strict=True)):
            fault = None
            if window.shape[1] != self.n_variates:
                fault = f"has {window.shape[1]} series, the training file's first one {self.n_variates}"
            elif len(window) > self.seq_len:
                fault = f"has {len(window)} steps, more than seq_len={self.seq_len}; set seq_len"
            elif name not in self.classes:
                fault = f"is of the class {name!r}, which the training file lacks ({', '.join(self.classes[:8])})"
            if fault:
                raise SeriesError(f"{path}: window {number} {fault}. Fix: give files of the same kind")


def read_windows(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return the windows (L, V) of a file, NaN where a value is missing, and their class names.

    Raises:
        SeriesError: the file is of another kind, or something in it cannot be read.
    """
    windows, names = _read_npz(path) if path.suffix == ".npz" else _read_ts(path)
    if not windows:
        raise SeriesError(f"{path}: there is no window in it. Fix: give a file with one labelled window at least")
    for number, window in enumerate(windows):
        if np.isinf(window).any():  # one would make the scaler, and with it the series in all windows, meaningless
            raise SeriesError(
                f"{path}: window {number} holds an infinite value. Fix: correct it, or mark it as missing: NaN in "
                "arrays, '?' in a .ts file"
            )
    return windows, names


def _read_npz(path: Path) -> tuple[list[np.ndarray], list[str]]:
    if not zipfile.is_zipfile(path):
        raise SeriesError(f"{path} is no .npz file. Fix: save inputs (windows, steps, series) and labels with np.savez")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("inputs", "labels") if name in arrays}
            names = arrays.files
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as fault:  # arrays of objects; damaged ones
        raise SeriesError(
            f"{path} cannot be read ({fault}). Fix: save inputs (numbers) and labels (numbers or texts) with np.savez"
        ) from fault
    if len(found) < 2:
        raise SeriesError(
            f"{path} holds {', '.join(names) or 'nothing'}. Fix: save inputs (windows, steps, series) and "
            "labels (windows,) with np.savez"
        )
    inputs, labels = found["inputs"], found["labels"]
    if inputs.dtype.kind not in "fiub":
        raise SeriesError(f"{path}: inputs are of type {inputs.dtype}. Fix: save real numbers")
    if inputs.ndim != 3 or labels.shape != inputs.shape[:1]:
        raise SeriesError(
            f"{path}: inputs have shape {inputs.shape}, labels {labels.shape}. "
            "Fix: (windows, steps, series) and (windows,)"
        )
    return list(inputs.astype(np.float64)), [str(label) for label in labels.tolist()]


def _read_ts(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Read the archive's text: ``@`` and ``#`` lines, then a window per line: ``1,2,?:3,4,5:class``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as fault:
        raise SeriesError(f"{path} is no text in UTF-8 ({fault}). Fix: save it in that encoding") from fault
    windows, names, in_data = [], [], False
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not in_data:
            in_data = line.lower() == "@data"
            if line.lower().split() in (["@timestamps", "true"], ["@classlabel", "false"]):
                raise SeriesError(f"{path}: line {number}: {line} is not read. Fix: give values and classes alone")
            continue
        if not line or line.startswith("#"):
            continue
        *series, name = line.split(":")
        try:
            values = [[float("nan") if v.strip() == "?" else float(v) for v in part.split(",")] for part in series]
            windows.append(np.array(values).T)  # (L, V)
        except ValueError as fault:
            raise SeriesError(
                f"{path}: line {number} cannot be read ({fault}). Fix: write numbers or '?', as many in each series"
            ) from fault
        if windows[-1].ndim != 2:
            raise SeriesError(f"{path}: line {number} has no class. Fix: end each line with ':' and the class")
        names.append(name.strip())
    if not in_data:
        raise SeriesError(f"{path}: there is no line '@data'. Fix: give a .ts file of the UEA archive, or an .npz file")
    return windows, names


def _scaler(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population deviation (V,) of rows (R, V), NaN ignored; 1 for constant series."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, rows, 0).sum(0) / count
    std = np.sqrt((np.where(known, rows - mean, 0) ** 2).sum(0) / count)
    highest, lowest = np.where(known, rows, -np.inf).max(0), np.where(known, rows, np.inf).min(0)
    return mean, np.where(highest > lowest, std, 1.0)


def _without_gaps(series: np.ndarray) -> np.ndarray:
    """Return a series (L,) with straight lines over its gaps; zeros where all of it is missing."""
    known = np.flatnonzero(~np.isnan(series))
    if not len(known):
        return np.zeros_like(series)
    return np.interp(np.arange(len(series)), known, series[known])
