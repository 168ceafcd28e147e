"""The cases of time series: tokens, the forecaster, the windows that it reads and the errors of its forecasts."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoints import timeseries
from mm_meta_transformer.models.meta_forecaster import MetaTransformerForecaster
from mm_meta_transformer.tokenizers.series import SeriesTokenizer
from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.ett import ETTDataset
from mmrepro.datasets.windows import SPLITS, WindowDataset
from mmrepro.forecasting import ForecastMetric
from mmrepro.forecasting.time_token_keys import embedding_rules
from mmrepro.forecasting.time_tokens import sinusoids
from mmrepro.key_rules import KeyRules

Arrays = dict[str, np.ndarray]
ETT_INTERVALS = {"Dataset_ETT_hour": "hour", "Dataset_ETT_minute": "15min"}


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def tokenizer_of(manifest: dict, state: Arrays, n_marks: int) -> SeriesTokenizer:
    """Return the tokenizer of a case with its weights, in evaluation mode."""
    config = manifest["config"]
    tokenizer = SeriesTokenizer(
        config["c_in"], config["d_model"], n_marks=n_marks, embed=config["embed_type"], freq=config["freq"]
    )
    given = KeyRules(embedding_rules("official", "embedding")).forward(
        {f"official.{key}": torch.from_numpy(value) for key, value in state.items()}
    )
    own = tokenizer.state_dict()  # fixed tables of time are computed; without marks the weights of time are not used
    tokenizer.load_state_dict(own | {key: value for key, value in given.items() if key in own})
    return tokenizer.eval()


def data2seq_time_series(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the tokens of windows without marks."""
    return {"tokens": tokenizer_of(manifest, state, 0)(torch.from_numpy(inputs["series"])).tokens.detach()}


def data2seq_time_series_marks(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the tokens of windows with marks, and the part of these that is time."""
    given = tensors(inputs)
    tokenizer = tokenizer_of(manifest, state, given["marks"].shape[2])
    tokens = tokenizer(given).tokens
    return {"tokens": tokens.detach(), "temporal": tokenizer.embedding.time(given["marks"]).detach()}


def forecaster(state: Arrays, config: dict, n_marks: int) -> MetaTransformerForecaster:
    """Return our forecaster of an official one, in evaluation mode, all of it trainable."""
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = timeseries.infer_config(official)
    settings["encoder"]["frozen"] = False
    names = ("seq_len", "pred_len", "label_len", "n_heads", "activation", "dropout", "freq", "embed")
    with torch.device("meta"):  # no weights are drawn to be overwritten
        model = MODELS.build(settings | {name: config[name] for name in names} | {"n_marks": n_marks})
    rows = {key: value.shape for key, value in model.state_dict().items() if key.endswith(".rows")}
    fixed = {key: sinusoids(*shape) for key, shape in rows.items()}  # tables of time that are computed
    model.load_state_dict(fixed | timeseries.rules(official).forward(official), assign=True)
    for tokenizer in (model.tokenizer, model.decoder_tokenizer):  # computed, so no part of the weights
        tokenizer.embedding.positions = sinusoids(*tokenizer.embedding.positions.shape)
    return model.eval()


def timeseries_forecast(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return tokens of both sides, encoded tokens, the forecast, its error, and the lengths of gradients."""
    config, given = manifest["config"], tensors(inputs)
    model = forecaster(state, config, inputs["x_mark_enc"].shape[2])
    tokens = model.extract_tokens({"series": given["x_enc"], "marks": given["x_mark_enc"]})
    asked = {"series": given["x_dec"], "marks": given["x_mark_dec"]}
    forecast = model.decode(given["x_enc"], given["x_mark_enc"], *asked.values())
    mse = F.mse_loss(forecast, given["target"])
    mse.backward()
    gradients = timeseries.rules({}).backward({name: parameter.grad for name, parameter in model.named_parameters()})
    with torch.no_grad():
        found = {
            "enc_tokens": tokens.tokens,
            "encoded": model.encode(tokens),
            "dec_tokens": model.decoder_tokenizer(asked).tokens,
            "forecast": forecast,
            "mse": mse,
        }
    found |= {f"grad:{name}": gradient.double().norm() for name, gradient in gradients.items()}
    return {name: value.detach() for name, value in found.items()}


def timeseries_metric(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the errors of forecasts."""
    metric, given = ForecastMetric(), tensors(inputs)
    windows = zip(given["pred"], given["true"], strict=True)
    metric.process(None, [{"forecast": f, "target": t, "last": torch.zeros(t.shape[1])} for f, t in windows])
    return {name: np.float64(value) for name, value in metric.evaluate(len(given["pred"])).items()}


def windows_of(manifest: dict, split: str, file: Path) -> WindowDataset:
    """Return a split's windows by the loader of the case's entry and its options.

    Raises:
        ValueError: the loader is not served.
    """
    config, entry = manifest["config"], manifest["entry"]

    def option(name: str, default: str) -> str:
        said = re.search(rf"\b{name}[ =](\w+)", entry)
        return str(config.get(name, said.group(1) if said else default))

    loader = re.search(r"Dataset_\w+", entry).group()
    settings = dict(
        seq_len=config["size"][0],
        pred_len=config["size"][2],
        file=file,
        target=config["target"],
        features=option("features", "M"),
        freq=option("freq", "t" if loader == "Dataset_ETT_minute" else "h"),
        time_features=True if option("timeenc", "1") == "1" else "calendar",
    )
    if loader == "Dataset_Custom":
        return CSVForecastDataset(split, **settings)
    if loader not in ETT_INTERVALS:
        raise ValueError(f"{loader} is not served; served are Dataset_Custom, {', '.join(ETT_INTERVALS)}")
    if settings["features"] != "S":  # this loader moves no column
        settings["target"] = config["column_order_in_file"][-1]
    return ETTDataset(split, interval=ETT_INTERVALS[loader], **settings)


def timeseries_pipeline(manifest: dict, state: Arrays, inputs: Arrays) -> dict:
    """Return the scaler and of each split the number of windows and its last one."""
    config = manifest["config"]
    seq_len, label_len, pred_len = config["size"]
    order = config["column_order_in_file"]
    table = pd.DataFrame(inputs["table"], columns=[name for name in order if name != "date"])
    dates = pd.date_range(config["start"], periods=len(table), freq=pd.Timedelta(config["step"]))
    table.insert(order.index("date"), "date", dates)
    found = {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        table.to_csv(file, index=False)
        for split in SPLITS:
            windows = windows_of(manifest, split, file)
            last = len(windows) - 1
            known, asked = slice(last, last + seq_len), slice(last + seq_len - label_len, last + seq_len + pred_len)
            found |= {f"{split}_len": len(windows), f"{split}_last": last, "mean": windows.mean, "scale": windows.std}
            for name, rows in (("x", known), ("y", asked)):
                found[f"{split}_{name}"] = windows.values[rows].numpy()
                found[f"{split}_{name}m"] = windows.marks[rows].numpy()
    return found
