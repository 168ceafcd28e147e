"""Windows for anomaly detection: a file of normal behaviour to learn from, and a labelled one to test on.

Source: the segment loaders of thuml/Time-Series-Library @ 4e938a1, data_provider/data_loader.py. Changed here: the rows
of validation are held out of the training, and every test row is scored once, the last ones too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from mm_itransformer.datasets.files import find_file
from mm_itransformer.evaluation.anomaly_metric import REFERENCE, REPEATED
from mmrepro.datasets.series import Series, SeriesError, read_csv
from mmrepro.datasets.windows import SPLITS, Split


@DATASETS.register_module()
class AnomalyDataset(Dataset):
    """Windows of two CSV files, scaled by mean and deviation of the training rows.

    A window is a dict with ``inputs`` (L, V) and, in the test split, ``labels`` (L,) for ``AnomalyMetric``. That split
    has the windows of the whole training file, side by side, for the threshold, and then those of the test file.
    ``__getitems__`` returns a finished batch; use it with ``collate_fn=dict(type='identity_collate')``.

    Args:
        split: "train", "val" or "test".
        seq_len: length of a window.
        train_file: CSV file of normal behaviour, as it is or below a data root.
        test_file: CSV file with the same columns, and the labels'.
        label_column: the test file's column that is 1 in anomalous rows and 0 in the others; the training file may have
            it too, it is not read there.
        val_share: share of the training file, its end, that is held out for validation.
        stride: rows between the beginnings of two windows of training or validation.
        data_root: searched first; then ``$MMREPRO_DATA_ROOT`` and ``./data``.
        date_column: name of the column that holds the time stamps; None for files without dates.
        date_format, encoding: how to read the files, see ``series.read_csv``.

    Raises:
        SeriesError: a file cannot be read, its columns or labels are wrong, or it has fewer rows than one window.
        FileNotFoundError: there is no such file.
        ValueError: an option has no meaning.
    """

    def __init__(
        self,
        split: Split,
        seq_len: int = 100,
        *,
        train_file: str | Path,
        test_file: str | Path,
        label_column: str = "label",
        val_share: float = 0.2,
        stride: int = 1,
        data_root: str | Path | None = None,
        date_column: str | None = "date",
        date_format: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is not known. Fix: use one of {', '.join(map(repr, SPLITS))}")
        if seq_len < 1 or stride < 1 or not 0 < val_share < 1:
            raise ValueError(
                f"seq_len={seq_len} and stride={stride} must be at least 1, val_share={val_share} between 0 and 1"
            )
        self.split, self.seq_len, self.label_column = split, seq_len, label_column
        reading = {"date_column": date_column, "date_format": date_format, "encoding": encoding}
        series = read_csv(find_file(train_file, data_root), **reading)
        series = series.select([column for column in series.columns if column != label_column])
        if not series.columns:
            raise SeriesError(f"{series.path} has only the column {label_column!r}. Fix: add columns of measurements")
        self.columns, self.data = series.columns, Path(series.path).name
        n_train = len(series.values) - int(len(series.values) * val_share)
        self.mean, self.std = _scaler(series.values[:n_train])

        if split == "test":
            tested = read_csv(find_file(test_file, data_root), **reading)
            labels = self._labels(tested)
            parts = [self._tiles(series, np.full(len(series.values), REFERENCE)), self._tiles(tested, labels)]
            windows, self.labels = (torch.cat(part) for part in zip(*parts, strict=True))
        else:
            rows = slice(0, n_train) if split == "train" else slice(n_train, None)
            scaled = self._scaled(series, rows)
            windows, self.labels = scaled.unfold(0, seq_len, 1).transpose(1, 2)[::stride], None
        self._windows = windows  # (W, L, V), a view where windows overlap

    @property
    def metainfo(self) -> dict:
        """What a detector needs to know of the data, in plain types."""
        return {
            "data": self.data,
            "columns": list(self.columns),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "seq_len": self.seq_len,
        }

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int | list[int]) -> dict[str, Tensor]:
        window = {"inputs": self._windows[index]}
        return window if self.labels is None else window | {"labels": self.labels[index]}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Return the windows at ``indices`` as one batch."""
        return self[indices]

    def _scaled(self, series: Series, rows: slice = slice(None)) -> Tensor:
        """Return scaled rows (T, V) in the training file's order of columns; enough for one window."""
        values = series.select(list(self.columns)).values[rows]
        if len(values) < self.seq_len:
            raise SeriesError(
                f"{series.path}: the {self.split} split has {len(values)} of {len(series.values)} rows, fewer than "
                f"seq_len = {self.seq_len}. Fix: give a longer series, or a shorter seq_len"
            )
        return torch.from_numpy(((values - self.mean) / self.std).astype(np.float32))

    def _tiles(self, series: Series, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return windows side by side (W, L, V) and their labels (W, L); the last one ends with the series."""
        scaled = self._scaled(series)
        n_rows, length = scaled.shape[0], self.seq_len
        starts = np.append(np.arange(0, n_rows - length, length), n_rows - length)
        rows = starts[:, None] + np.arange(length)  # (W, L)
        seen = np.append(-1, rows[:-1, -1])[:, None]  # the last row of the window before
        return scaled[torch.from_numpy(rows)], torch.from_numpy(np.where(rows > seen, labels[rows], REPEATED))

    def _labels(self, tested: Series) -> np.ndarray:
        """Return the test file's labels (T,), after a look at its columns."""
        missing = [column for column in (*self.columns, self.label_column) if column not in tested.columns]
        extra = [column for column in tested.columns if column not in (*self.columns, self.label_column)]
        if missing or extra:
            raise SeriesError(
                f"{tested.path} must have the columns of {self.data} and {self.label_column!r}; "
                + "; ".join(
                    f"{what}: {', '.join(names)}"
                    for what, names in (("missing", missing), ("too many", extra))
                    if names
                )
                + ". Fix: rename or remove columns, or set label_column"
            )
        labels = tested.values[:, tested.columns.index(self.label_column)]
        odd = np.setdiff1d(labels, [0, 1])
        if len(odd):
            raise SeriesError(
                f"{tested.path}: column {self.label_column!r} holds {odd[0]:g}. Fix: write 1 for anomalous rows, else 0"
            )
        return labels.astype(np.int64)


def _scaler(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population deviation (V,) of the training rows; constant variates get 1."""
    constant = train.max(0) == train.min(0)
    return train.mean(0), np.where(constant, 1.0, train.std(0))
