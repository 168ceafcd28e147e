"""Training and testing with the paper's recipe, on generated data and small models."""

import copy
import itertools
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mm_itransformer import ITransformerInferencer
from mm_itransformer.checkpoint import to_official
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, require_data, tiny
from mmrepro.testing.distributed import assert_mim_two_ranks_train, assert_two_ranks_equal_one
from mmrepro.testing.resume import assert_resume_bit_equal

ETTH1 = papers.find_config("itransformer", "itransformer_e2-d256_1xb32-10e_etth1-96to96")
OWN_CSV = papers.find_config("itransformer", "itransformer_own-csv")


NUMBER = itertools.count()


def small(work_dir: Path, **changes) -> Config:
    config = tiny(Config.fromfile(ETTH1))
    config.work_dir = str(work_dir)
    config.log_level = "ERROR"
    config.experiment_name = f"small_{next(NUMBER)}"  # mmengine keeps one logger per name
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Path]:
    """A small training of three epochs: its config and its best checkpoint."""
    config = small(tmp_path_factory.mktemp("trained"), train_cfg__max_epochs=3, optim_wrapper__optimizer__lr=3e-3)
    Runner.from_cfg(copy.deepcopy(config)).train()
    return config, next(Path(config.work_dir).glob("best_mse_*.pth"))


@pytest.fixture
def official(trained, tmp_path) -> Path:
    """The same weights as an official file: a bare state dict."""
    path = tmp_path / "checkpoint.pth"
    torch.save(to_official(load(trained[1])["state_dict"]), path)
    return path


def evaluate(config: Config, checkpoint: Path, work_dir: Path) -> dict:
    config = copy.deepcopy(config)
    config.load_from, config.work_dir = str(checkpoint), str(work_dir)
    config.experiment_name = f"evaluation_{next(NUMBER)}"
    return Runner.from_cfg(config).test()


def test_training_beats_the_repeated_last_value_and_keeps_what_a_forecast_needs(trained, tmp_path):
    config, best = trained
    metrics = evaluate(config, best, tmp_path)
    assert metrics["mse"] < 0.9 * metrics["baseline_mse"]
    assert metrics["windows"] == 80 - 8 + 1
    meta = load(best)["meta"]
    assert meta["model"]["n_heads"] == 2
    assert meta["dataset_meta"]["columns"] == ["x1", "x2", "x3", "x4", "x5"]
    assert len(meta["dataset_meta"]["mean"]) == 5
    assert meta["dataset_meta"]["time_features"] is True


def test_two_evaluations_are_equal(trained, tmp_path):
    assert evaluate(*trained, tmp_path) == evaluate(*trained, tmp_path)


def test_test_batch_size_does_not_change_the_metrics(trained, tmp_path):
    config, best = trained
    other = copy.deepcopy(config)
    other.test_dataloader.batch_size = 7
    assert evaluate(other, best, tmp_path) == pytest.approx(evaluate(config, best, tmp_path), rel=1e-6)


def test_the_tool_tests_official_files_and_converted_ones(trained, official, tmp_path):
    config, best = trained
    config.dump(tmp_path / "config.py")
    convert_file("itransformer", official, tmp_path / "ours.safetensors", n_heads=2)
    results = []
    for checkpoint in (best, official, tmp_path / "ours.safetensors"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "work"]
        test_tool.main("itransformer", [str(argument) for argument in arguments])
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1] == results[2]
    assert results[0] == evaluate(config, best, tmp_path)


def test_training_goes_on_from_an_official_file(trained, official, tmp_path):
    config = small(tmp_path, optim_wrapper__optimizer__lr=0.0, load_from=str(official))
    runner = Runner.from_cfg(config)
    model = runner.train()
    expected = load(trained[1])["state_dict"]
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "value"), [("seq_len", 32), ("pred_len", 12), ("d_model", 32), ("e_layers", 3), ("use_norm", False)]
)
@pytest.mark.parametrize("stage", ["test", "train"])
def test_a_checkpoint_of_another_setting_is_refused_by_name(trained, tmp_path, stage, setting, value):
    changes = {f"model__{setting}": value}
    if setting.endswith("_len"):
        changes |= {f"{split}_dataloader__dataset__{setting}": value for split in ("train", "val", "test")}
    runner = Runner.from_cfg(small(tmp_path, load_from=str(trained[1]), **changes))
    with pytest.raises(CheckpointMismatchError, match=rf"{setting}: .* in the file, {value} in the config") as refused:
        getattr(runner, stage)()
    assert trained[1].name in str(refused.value)


def test_a_model_for_other_features_than_the_data_is_refused(tmp_path):
    targets = {
        f"{split}_dataloader__dataset__{key}": value
        for split in ("train", "val", "test")
        for key, value in (("features", "MS"), ("target", "x2"))
    }
    with pytest.raises(ValueError, match="give model and data set the same features"):
        Runner.from_cfg(small(tmp_path, **targets)).train()


def test_a_checkpoint_for_other_features_is_refused_and_an_older_one_without_the_entry_loads(trained, tmp_path):
    config, best = trained
    changes = {
        f"{split}_dataloader__dataset__{key}": value
        for split in ("train", "val", "test")
        for key, value in (("features", "MS"), ("target", "x5"))
    }
    other = small(tmp_path, model__features="MS", **changes)
    with pytest.raises(CheckpointMismatchError, match="features: M in the file, MS in the config"):
        evaluate(other, best, tmp_path)
    older = load(best)
    del older["meta"]["model"]["features"]
    torch.save(older, tmp_path / "older.pth")
    assert evaluate(config, tmp_path / "older.pth", tmp_path) == evaluate(config, best, tmp_path)


def test_amp_trains_in_bfloat16_and_stays_close_to_float32(tmp_path):
    small(tmp_path, model__dropout=0.0).dump(tmp_path / "config.py")
    weights, metrics = [], []
    for name, options in (("float32", []), ("bfloat16", ["--amp"])):
        work_dir = tmp_path / name
        # mmengine keeps the best score under the run's name, which is the same for two runs within a second
        named = f"experiment_name={name}"
        options = [*options, "--cfg-options", "train_cfg.max_epochs=1", "optim_wrapper.optimizer.lr=1e-3", named]
        train_tool.main("itransformer", [str(tmp_path / "config.py"), "--work-dir", str(work_dir), *options])
        best = next(work_dir.glob("best_mse_*.pth"))
        weights.append(load(best)["state_dict"])
        metrics.append(evaluate(small(tmp_path), best, tmp_path)["mse"])
    assert all(value.dtype == torch.float32 for value in weights[1].values())
    assert any(not torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert metrics[1] == pytest.approx(metrics[0], rel=0.02)


def test_another_horizon_is_fine_tuned_when_the_config_says_so(trained, tmp_path):
    lengths = {f"{split}_dataloader__dataset__pred_len": 12 for split in ("train", "val", "test")}
    config = small(tmp_path, load_from=str(trained[1]), model__pred_len=12, **lengths)
    config.custom_hooks[0].ignore = ["pred_len"]
    config.custom_hooks[1].ignore = ["head.proj"]
    Runner.from_cfg(config).train()


@pytest.mark.parametrize("stage", ["test", "train"])
def test_other_time_features_are_refused_by_name(trained, tmp_path, stage):
    changes = {f"{split}_dataloader__dataset__time_features": False for split in ("train", "val", "test")}
    runner = Runner.from_cfg(small(tmp_path, load_from=str(trained[1]), **changes))
    with pytest.raises(CheckpointMismatchError, match=r"time_features: True .* False"):
        getattr(runner, stage)()


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    config = small(tmp_path, train_cfg__max_epochs=2)
    assert_resume_bit_equal(config, tmp_path, kill_at=[23], num_workers=(0, 2), checkpoint_every=9)


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    assert_two_ranks_equal_one(small(tmp_path), tmp_path, changes={"model.dropout": 0.0})


def test_mim_trains_with_two_processes_that_stay_equal(tmp_path):
    assert_mim_two_ranks_train("itransformer", small(tmp_path), tmp_path)


def test_the_recipe_is_the_official_one():
    config = Config.fromfile(ETTH1)
    assert dict(config.optim_wrapper.optimizer) == {
        "type": "Adam",
        "lr": 1e-4,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
    }
    assert "clip_grad" not in config.optim_wrapper
    assert config.train_cfg.max_epochs == 10
    assert config.default_hooks.checkpoint.save_best == "mse"
    loaders = {name: config[f"{name}_dataloader"] for name in ("train", "val", "test")}
    assert {name: (x.batch_size, x.drop_last, x.sampler.shuffle) for name, x in loaders.items()} == {
        "train": (32, True, True),
        "val": (32, True, True),
        "test": (256, False, False),
    }
    assert config.randomness.seed == 2023


@pytest.mark.parametrize("config", papers.configs("itransformer"), ids=lambda path: path.stem)
def test_model_and_data_sets_agree_and_heads_divide_the_width(config):
    config = load_config(config)
    assert config.model.d_model % config.model.get("n_heads", 8) == 0
    for split in ("train", "val", "test"):
        dataset = config[f"{split}_dataloader"].dataset
        dataset = dataset.get("dataset", dataset)  # windows with gaps wrap those of a series
        assert dataset.seq_len == config.model.seq_len
        assert dataset.pred_len == config.model.get("pred_len", 1)
        assert dataset.get("features", "M") == config.model.get("features", "M")
        assert dataset.split == split


def test_the_template_for_own_data_has_the_settings_of_the_others():
    template, base = Config.fromfile(OWN_CSV), Config.fromfile(ETTH1)
    for key in ("train_cfg", "val_cfg", "test_cfg", "param_scheduler", "auto_scale_lr", "custom_hooks", "randomness"):
        assert template[key] == base[key], key
    assert template.optim_wrapper.optimizer.lr == base.optim_wrapper.optimizer.lr
    for name, hook in template.default_hooks.items():
        assert hook == base.default_hooks[name]


def fill_in_the_template(folder: Path, **answers) -> Path:
    """Return a copy of the template with other values in the block at its top, as a user would write them."""
    text = OWN_CSV.read_text(encoding="utf-8")
    for name, value in answers.items():
        text, found = re.subn(rf"^{name} = .*$", lambda _, n=name, v=value: f"{n} = {v!r}", text, flags=re.MULTILINE)
        assert found == 1, name
    path = folder / "own.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("features", ["M", "MS", "S"])
def test_training_and_forecasting_with_the_template_for_own_data(tmp_path, features):
    dates = pd.date_range("2024-01-01", periods=400, freq="15min").strftime("%d/%m/%Y %H:%M")
    waves = np.sin(np.arange(400)[:, None] / [3, 5, 9]) + 5
    file = tmp_path / "own.csv"
    pd.DataFrame(waves, dates, ["Ströme", "b", "c"]).to_csv(file, index_label="when", encoding="latin-1")
    reading = {"date_column": "when", "date_format": "%d/%m/%Y %H:%M", "encoding": "latin-1"}
    lengths = {"seq_len": 24, "pred_len": 8, "width": 32, "max_epochs": 1}
    path = fill_in_the_template(tmp_path, file=str(file), features=features, target="b", **reading, **lengths)
    config = Config.fromfile(path)
    config.work_dir, config.log_level = str(tmp_path / "work"), "ERROR"
    config.experiment_name = f"own_{next(NUMBER)}"
    Runner.from_cfg(config).train()
    best = next(Path(config.work_dir).glob("best_mse_*.pth"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with "S" the other columns are left out, and the inferencer says so
        forecast = ITransformerInferencer(path, best, device="cpu")(str(file), start=-8)["predictions"][0]
    assert list(forecast.values.columns) == (["Ströme", "c", "b"] if features == "M" else ["b"])
    assert forecast.values.index[-1] == pd.Timestamp("2024-01-05 03:45")
    assert np.isfinite(forecast.errors()["baseline_mse"])


def test_repeating_the_last_value_on_etth1_gives_the_known_errors(tmp_path):
    require_data("etth1")
    config = Config.fromfile(ETTH1)
    config.merge_from_dict({"model.d_model": 8, "model.d_ff": 8})
    config.work_dir, config.log_level = str(tmp_path), "ERROR"
    metrics = Runner.from_cfg(config).test()
    assert metrics["baseline_mse"] == pytest.approx(1.294, abs=5e-4)
    assert metrics["baseline_mae"] == pytest.approx(0.713, abs=5e-4)
    assert metrics["windows"] == 2785
