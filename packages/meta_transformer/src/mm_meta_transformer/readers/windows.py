"""Windows of inertial sensors, from arrays, tables and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mm_meta_transformer.datasets.imu import CHANNELS
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class WindowReader(Reader):
    """Read windows: arrays ``(T, V)`` or ``(W, T, V)``, DataFrames, ``.npy`` files, or CSV files with column names.

    Values are in the sensors' units (g, radians a second); the training's mean and deviation of each channel scale
    them. Columns of tables are chosen by the channels' names. ``standardised=True`` says that they are scaled already.
    """

    modality = "imu"
    options = frozenset({"standardised"})
    suffixes = (".csv", ".npy")

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps."""
        self.width = self.model.tokenizer.n_variates
        self.length = self.model.tokenizer.get("length", 5000)
        return pipeline

    def read(self, source: Any, name: str, standardised: bool = False) -> Iterator[Sample]:
        """Yield the windows.

        Args:
            source: a file, a DataFrame or an array.
            name: what it is called.
            standardised: whether values are scaled already.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: it has other channels, too many steps or none, or a value that is not finite.
        """
        channels = list(self.facts["channels"]) if not standardised else list(self.dataset.get("channels", CHANNELS))
        array = self._array(source, name, channels)
        if array.ndim not in (2, 3) or array.shape[-1] != self.width or not 1 <= array.shape[-2] <= self.length:
            raise UserError(
                f"{name} is {array.shape}. Fix: windows (T, {self.width}) of at most {self.length} steps, with the "
                f"channels {', '.join(channels)}"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{name} holds values that are not finite. Fix: leave the window out")
        mean, deviation = (0.0, 1.0) if standardised else (np.array(self.facts[key]) for key in ("mean", "deviation"))
        windows = array[None] if array.ndim == 2 else array
        for number, window in enumerate(windows):
            one = f"{name}_{number}" if array.ndim == 3 else name
            results = {"series": ((window - mean) / deviation).astype(np.float32), "path": one}
            yield Sample(one, results, {"window": window, "channels": channels})

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a window in the sensors' units."""
        mean, deviation = (np.array(dataset.metainfo[key]) for key in ("mean", "deviation"))
        return dataset.get_data_info(number)["series"] * deviation + mean, {}

    def _array(self, source: Any, name: str, channels: list[str]) -> np.ndarray:
        if isinstance(source, (str, Path)):
            path = existing(source)
            try:
                source = np.load(path, allow_pickle=False) if path.suffix == ".npy" else pd.read_csv(path)
            except (ValueError, EOFError) as error:
                raise UserError(
                    f"{path} cannot be read: {error}. Fix: an .npy file, or CSV with column names"
                ) from error
        if isinstance(source, pd.DataFrame):
            if absent := [channel for channel in channels if channel not in source]:
                raise UserError(f"{name} has no column {', '.join(absent)}; it has {', '.join(map(str, source))}")
            source = source[channels]
        try:
            return np.asarray(source, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name} is no table of numbers: {error}") from error
