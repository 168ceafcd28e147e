"""The parity adapter's part for data: windows, scaler and splits of every data set class, and time features.

``parity.run`` hands over cases of the kinds ``data`` and ``time_features``; ``trained`` finds its file here too. Cases
of the kinds in ``KINDS`` are served as they stand there.
"""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from mm_itransformer.datasets import PEMSDataset, SolarDataset
from mmrepro.datasets import registry
from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.ett import ETTDataset
from mmrepro.datasets.series import future_dates
from mmrepro.datasets.time_features import calendar_features, time_features
from mmrepro.datasets.windows import SPLITS, WindowDataset

# The official classes and what ours are called
CLASSES = {
    "Dataset_ETT_hour": (ETTDataset, {"interval": "hour"}),
    "Dataset_ETT_minute": (ETTDataset, {"interval": "15min"}),
    "Dataset_Custom": (CSVForecastDataset, {}),
    "Dataset_Solar": (SolarDataset, {}),
    "Dataset_PEMS": (PEMSDataset, {}),
}
# The official class by the beginning of a file's name; all others are read by Dataset_Custom
CLASS_OF_FILE = {
    "ETTh": "Dataset_ETT_hour",
    "ETTm": "Dataset_ETT_minute",
    "solar": "Dataset_Solar",
    "PEMS": "Dataset_PEMS",
}
# Every published horizon, and batch sizes whose dropped remainder a case may ask for: it does not say which
HORIZONS = (12, 24, 48, 96, 192, 336, 720)
DROP_BATCHES = range(1, 513)


def run_data(manifest: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Return what a case of the kind ``data`` expects: of the real file that it names, or of files written for it."""
    return real_file(manifest) if "file" in manifest["config"] else generated_files(manifest)


def run_time_features(manifest: dict, inputs: dict[str, np.ndarray]) -> dict:
    """Return float features for each frequency, and both integer forms, of the case's time stamps."""
    dates = pd.DatetimeIndex(manifest["config"]["stamps"])
    answers = {f"timeenc1_{freq}": time_features(dates, freq) for freq in manifest["config"]["freqs"]}
    return answers | {
        "timeenc0_hour": calendar_features(dates),
        "timeenc0_minute": calendar_features(dates, quarter_hours=True),
    }


def dataset(entry: str, split: str, **options) -> WindowDataset:
    """Return our data set for an official class, named at the end of ``entry``."""
    ours, fixed = CLASSES[entry.rsplit(":", 1)[-1]]
    return ours(split, **fixed, **options)


def dataset_of_file(config: dict, split: str, pred_len: int) -> WindowDataset:
    """Return a split of the real file that a case names, read as its official class reads it."""
    name = next((name for start, name in CLASS_OF_FILE.items() if config["file"].startswith(start)), "Dataset_Custom")
    return dataset(name, split, pred_len=pred_len, data=find_file(config["file"]), **options_of(name, config))


def find_file(name: str) -> str:
    """Return the registry's name of the data set that has a file of this name."""
    return next(data for data in registry.names() for file in registry.get(data).files if file.name == name)


def options_of(entry: str, config: dict) -> dict:
    """Return our options for the arguments of an official class, named at the end of ``entry``, that it reads."""
    if entry.endswith(("Dataset_Solar", "Dataset_PEMS")):  # neither dates nor a target
        return {name: config[name] for name in ("scale", "seq_len") if name in config}
    names = ("features", "target", "freq", "scale", "seq_len")
    encoding = {0: "calendar", 1: True}[config.get("timeenc", 1)]
    return {name: config[name] for name in names if name in config} | {"time_features": encoding}


def real_file(manifest: dict) -> dict:
    config, notes = manifest["config"], manifest["notes"]["expected"]
    stride = row_stride(notes)
    named = re.search(r"horizon (\d+)", notes)
    shown = int(named[1]) if named else config.get("pred_len", 96)  # the horizon whose windows are stored
    options = options_of(manifest["entry"], config) | {"data": find_file(config["file"])}
    answers = {}
    for horizon in sorted({*HORIZONS, shown}):
        for split in SPLITS:
            windows = dataset(manifest["entry"], split, pred_len=horizon, **options)
            answers[f"len_{split}_{horizon}"] = len(windows)
            if horizon == shown:
                answers |= {"scaler_mean": windows.mean, "scaler_scale": windows.std}
                for label, index in {"0": 0, "1": 1, "last": len(windows) - 1}.items():
                    for name, rows in official_window(windows, index, config["label_len"]).items():
                        answers[f"{name}_{split}_{label}"] = rows[::stride]
            if split == "test":
                answers |= persistence(windows, f"persistence_test_{horizon}")
    return answers


def generated_files(manifest: dict) -> dict:
    config = manifest["config"]
    stride = row_stride(manifest["notes"]["expected"])
    lengths = {"seq_len": config["seq_len"], "pred_len": config["pred_len"]}
    answers = {}

    def add(name: str, windows: WindowDataset) -> None:
        answers[f"{name}_len"] = len(windows)
        answers[f"{name}_scaler_mean"], answers[f"{name}_scaler_scale"] = windows.mean, windows.std
        for label, index in {"first": 0, "last": len(windows) - 1}.items():
            for key, rows in official_window(windows, index, config["label_len"]).items():
                answers[f"{name}_{key}_{label}"] = rows[::stride]

    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), config)
        for name, file in files.items():
            class_name = {"ett_hour": "ETT_hour", "ett_minute": "ETT_minute", "pems": "PEMS"}.get(name, name.title())
            options = lengths | {"file": file}
            for split in SPLITS:
                add(f"{name}_{split}", dataset(f"Dataset_{class_name}", split, **options))
            if name.startswith("ett"):
                options |= {"features": "S", "time_features": "calendar"}
                add(f"{name}_S_timeenc0", dataset(f"Dataset_{class_name}", "val", **options))
            if name == "custom":
                add("custom_freq_t", dataset("Dataset_Custom", "test", freq="t", **options))
                answers |= pred(CSVForecastDataset("train", ratios=(1, 0, 0), **options), config["label_len"], stride)
    return answers


def write_files(folder: Path, config: dict) -> dict[str, Path]:
    """Write the files that ``notes.inputs`` of the generated case describes; return their paths by set."""

    def frame(rows: int, columns: list[str], start: str | None = None, freq: str = "h") -> pd.DataFrame:
        i, c = np.arange(rows)[:, None], np.arange(len(columns))[None]
        values = (c + 1) * np.sin(2 * np.pi * i / 24 + c) + 0.001 * i * (c - 1) + (i * 7919 * (c + 1)) % 101 / 101
        table = pd.DataFrame(values, columns=columns)
        if start:
            table.insert(0, "date", pd.date_range(start, periods=rows, freq=freq).strftime("%Y-%m-%d %H:%M:%S"))
        return table

    rows, columns = config["rows_custom"], config["columns_custom"]
    frame(17420, ["A", "B", "OT"], "2016-07-01").to_csv(folder / "ett_hour.csv", index=False)
    frame(69680, ["A", "B", "OT"], "2016-07-01", "15min").to_csv(folder / "ett_minute.csv", index=False)
    frame(rows, columns, "2020-01-01").to_csv(folder / "custom.csv", index=False)
    frame(rows, columns).to_csv(folder / "solar.txt", index=False, header=False)
    data = np.zeros((rows, len(columns), 3))
    data[:, :, 0] = frame(rows, columns).to_numpy()
    for row, column in ((10, 2), (0, 1), (-1, 3), (-2, 3)):
        data[row, column % len(columns), 0] = np.nan
    np.savez(folder / "pems.npz", data=data)
    return {path.stem: path for path in sorted(folder.iterdir())}


def row_stride(notes: str) -> int:
    """Return the stride of the reduction "rows ::k" that the notes name; 1 where they name none."""
    named = re.search(r"rows ::(\d+)", notes)
    return int(named[1]) if named else 1


def official_window(windows: WindowDataset, index: int, label_len: int) -> dict[str, np.ndarray]:
    """Return the four arrays of the official ``__getitem__``; the sets without marks give zeros of shape (L, 1)."""
    known = slice(index, index + windows.seq_len)
    decoder = slice(known.stop - label_len, known.stop + windows.pred_len)
    no_marks = np.zeros((windows.seq_len, 1))
    return {
        "x": windows[index]["inputs"].numpy(),
        "y": windows.values[decoder].numpy(),
        "xmark": no_marks if windows.marks is None else windows[index]["marks"].numpy(),
        "ymark": no_marks if windows.marks is None else windows.marks[decoder].numpy(),
    }


def persistence(windows: WindowDataset, name: str) -> dict[str, object]:
    """Return MSE and MAE of repeating the last value, over all windows and without each batch size's remainder."""
    values, n_windows = windows.values.double().numpy(), len(windows)
    last = values[windows.seq_len - 1 :][:n_windows]
    errors = np.zeros((2, n_windows))  # MSE and MAE of each window
    for step in range(windows.pred_len):
        difference = values[windows.seq_len + step :][:n_windows] - last
        errors += (difference**2).mean(1), np.abs(difference).mean(1)
    errors /= windows.pred_len
    sums = np.pad(errors.cumsum(1), ((0, 0), (1, 0)))  # over no window, the first one, the first two, ...
    answers = {name: errors.mean(1)}
    for batch in DROP_BATCHES:
        kept = n_windows // batch * batch
        answers[f"{name}_drop{batch}_windows"] = kept
        answers[f"{name}_drop{batch}"] = sums[:, kept] / kept if kept else np.full(2, np.nan)
    return answers


def pred(windows: WindowDataset, label_len: int, stride: int) -> dict[str, object]:
    """Return the official ``Dataset_Pred``: the last window of a set whose scaler is fitted on all rows."""
    length = windows.seq_len
    future = time_features(future_dates(windows.dates, windows.pred_len), windows.freq)
    marks = np.concatenate([windows.marks[-label_len:].numpy(), future])
    return {
        "pred_len": 1,
        "pred_scaler_mean": windows.mean,
        "pred_scaler_scale": windows.std,
        "pred_x_first": windows.values[-length:].numpy()[::stride],
        "pred_y_first": windows.values[-label_len:].numpy()[::stride],
        "pred_xmark_first": windows.marks[-length:].numpy()[::stride],
        "pred_ymark_first": marks[::stride],
    }


def run_partial_variates(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the slice of variates that training sees, and the order of them in each batch of efficient training.

    The data set reads a file whose every value is the number of its column, so a batch says which variates it has.
    """
    config = manifest["config"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "columns.txt"
        file.write_text((",".join(map(str, range(config["variates"]))) + "\n") * 40)
        partial = {"first": config["enc_in"], "start": config["partial_start_index"], "shuffle": True}
        windows = SolarDataset("train", 4, 2, file=file, scale=False, variates=partial)
    whole = windows[0]["inputs"][0].long()
    random.seed(config["python_seed"])
    batches = [windows.__getitems__([0, 1]) for _ in range(config["steps"])]
    return {
        "start": whole[0].numpy(),
        "end": whole[-1].numpy() + 1,
        "efficient_index": np.stack([batch["targets"][0, 0].long().numpy() for batch in batches]) - whole[0].item(),
    }


KINDS = {"partial_variates": (run_partial_variates, ("experiments/exp_long_term_forecasting_partial.py",))}
