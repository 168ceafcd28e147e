"""Training on some variates, testing and forecasting all: the paper's variate generalization and efficient training."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mm_itransformer import ITransformerInferencer
from mm_itransformer.models import ITransformer
from mmrepro import papers
from mmrepro.datasets.time_features import time_features
from mmrepro.safe_loading import load
from mmrepro.testing import tiny

ETTH1 = papers.find_config("itransformer", "itransformer_e2-d256_1xb32-10e_etth1-96to96")
COLUMNS = ["OT", "a", "b", "c", "d"]  # in the file; the target is moved last
LENGTH, HORIZON = 96, 8
NUMBER = itertools.count()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Five variates of very different sizes."""
    steps = np.arange(600)[:, None]
    waves = np.sin(steps / [3, 4, 5, 6, 7]) + 0.1 * np.random.default_rng(0).standard_normal((600, 5))
    dates = pd.date_range("2024-01-01", periods=600, freq="h")
    return pd.DataFrame(waves * [1, 10, 100, 1000, 1e4] + [0, 5, 50, 500, 5e3], dates, COLUMNS)


def config(table: pd.DataFrame, folder: Path, train: dict, val: dict | None = None) -> Config:
    """A small training on the table; what is not said keeps all variates."""
    table.to_csv(folder / "table.csv", index_label="date")
    small = tiny(Config.fromfile(ETTH1))
    source = dict(
        type="CSVForecastDataset", file=str(folder / "table.csv"), seq_len=LENGTH, pred_len=HORIZON, time_features=True
    )
    for split, variates in (("train", train), ("val", val), ("test", None)):
        dataset = source | {"split": split} | ({"variates": variates} if variates else {})
        small[f"{split}_dataloader"].dataset = dataset
    small.model.seq_len, small.model.pred_len = LENGTH, HORIZON
    small.train_cfg.max_epochs = 1
    small.val_dataloader.drop_last = False
    small.test_evaluator = dict(type="ForecastMetric", by_variate=True)
    small.work_dir, small.log_level = str(folder), "ERROR"
    small.experiment_name = f"partial_{next(NUMBER)}"  # mmengine keeps one logger per name
    return small


@pytest.mark.parametrize(
    ("train", "val", "trained"),
    [
        (dict(first=2), dict(first=2), ["a", "b"]),
        (dict(random=2), None, ["a", "b", "c", "d", "OT"]),
    ],
)
def test_a_model_of_some_variates_is_tested_on_all_and_forecasts_all_in_their_own_units(
    table, tmp_path, train, val, trained
):
    settings = config(table, tmp_path, train, val)
    runner = Runner.from_cfg(copy.deepcopy(settings))
    seen = []
    runner.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs"].shape[2]), with_kwargs=True
    )
    runner.train()
    metrics = runner.test()
    assert set(seen) == {2, 5}
    assert seen[0] == 2
    assert seen[-1] == len(metrics["mse_by_variate"]) == 5

    best = next(tmp_path.glob("best_mse_*.pth"))
    meta = load(best)["meta"]["dataset_meta"]
    assert meta["columns"] == ["a", "b", "c", "d", "OT"]
    assert meta["trained_columns"] == trained
    assert meta["variates"] == train
    fitted = table[meta["columns"]][: int(600 * 0.7)]
    np.testing.assert_allclose(meta["mean"], fitted.mean())
    np.testing.assert_allclose(meta["std"], fitted.std(ddof=0))

    forecast = ITransformerInferencer(settings, best, device="cpu")(table, start=-HORIZON)["predictions"][0]
    model = ITransformer(**{k: v for k, v in settings.model.items() if k != "type"}).eval()
    model.load_state_dict(load(best)["state_dict"])
    window = table[meta["columns"]][-HORIZON - LENGTH : -HORIZON]
    scaled = (window.to_numpy() - meta["mean"]) / meta["std"]
    inputs = [torch.from_numpy(part.astype(np.float32))[None] for part in (scaled, time_features(window.index))]
    with torch.no_grad():
        expected = model(*inputs)[0].numpy() * meta["std"] + meta["mean"]
    assert list(forecast.values.columns) == meta["columns"]
    np.testing.assert_allclose(forecast.values, expected, rtol=1e-4, atol=1e-3)
    assert list(forecast.truth.columns) == meta["columns"]
