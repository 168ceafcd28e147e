"""The tasks beside forecasting: properties of their models whatever the weights, their checkpoints, small trainings."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mm_itransformer import task_checkpoint
from mm_itransformer.checkpoint import from_official, load_strictly, to_official
from mm_itransformer.models import ITransformer
from mm_itransformer.models.tasks import ITransformerAnomalyDetector, ITransformerClassifier, ITransformerImputer
from mmrepro.checkpoint import CheckpointMismatchError, convert_file, save, strip_wrappers
from mmrepro.safe_loading import load

SMALL = {"seq_len": 24, "d_model": 32, "n_heads": 4, "e_layers": 2, "d_ff": 48}
BATCH, STEPS, VARIATES = 3, 24, 5
TASKS = {
    "imputation": (ITransformerImputer, {}),
    "anomaly_detection": (ITransformerAnomalyDetector, {}),
    "classification": (ITransformerClassifier, {"n_variates": VARIATES, "num_class": 4}),
}
every_task = pytest.mark.parametrize("task", TASKS)


def build(task: str, **changes):
    model, own = TASKS[task]
    torch.manual_seed(0)
    return model(**(SMALL | own | changes)).eval()


def batch_of(task: str) -> dict:
    generator = torch.Generator().manual_seed(1)
    batch = {"inputs": torch.randn(BATCH, STEPS, VARIATES, generator=generator)}
    if task == "imputation":
        batch["marks"] = torch.rand(BATCH, STEPS, 4, generator=generator) - 0.5
        batch["mask"] = torch.rand(BATCH, STEPS, VARIATES, generator=generator) > 0.3
    if task == "classification":
        batch["labels"] = torch.tensor([3, 0, 1])
    return batch


def loss_of(model, batch: dict) -> torch.Tensor:
    (loss,) = model(**batch, mode="loss").values()
    return loss


@every_task
def test_every_parameter_gets_a_gradient(task):
    model = build(task).train()
    loss_of(model, batch_of(task)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_task
def test_save_and_load_is_the_identity(task, tmp_path):
    model, batch = build(task), batch_of(task)
    save(tmp_path / "model.safetensors", model.state_dict(), {"model": model.settings})
    stored = load(tmp_path / "model.safetensors")
    other = build(task).requires_grad_(False)
    for parameter in other.parameters():
        parameter.zero_()
    other.load_state_dict(stored["state_dict"])
    assert stored["meta"]["model"] == model.settings
    assert stored["meta"]["model"]["task"] == task
    torch.testing.assert_close(other(**batch), model(**batch), atol=0, rtol=0)


@every_task
def test_activation_checkpointing_changes_nothing(task):
    gradients = []
    for with_cp in (False, True):
        model = build(task, dropout=0.3, with_cp=with_cp).train()
        torch.manual_seed(5)
        loss_of(model, batch_of(task)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, atol=1e-7, rtol=1e-5)


@every_task
def test_bfloat16_autocast_trains_and_stays_close(task):
    model, batch = build(task, dropout=0.0).train(), batch_of(task)
    exact = loss_of(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, batch)
        samples = model(**batch, mode="predict")
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, atol=0, rtol=0.02)
    assert all(value.isfinite().all() for sample in samples for value in sample.values())


@every_task
def test_dropout_acts_in_training_only(task):
    model, batch = build(task, dropout=0.5), batch_of(task)
    torch.testing.assert_close(model(**batch), model(**batch), atol=0, rtol=0)
    model.train()
    assert (model(**batch) - model(**batch)).abs().max() > 1e-3


@every_task
def test_windows_of_a_batch_do_not_see_each_other(task):
    model, batch = build(task), batch_of(task)
    alone = [model(**{key: value[i : i + 1] for key, value in batch.items()}) for i in range(BATCH)]
    torch.testing.assert_close(model(**batch), torch.cat(alone), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("task", ["imputation", "anomaly_detection"])
def test_permuting_variates_permutes_the_series_and_their_number_is_free(task):
    model, batch, order = build(task), batch_of(task), torch.tensor([3, 0, 4])
    series = {key: value if key == "marks" else value[..., order] for key, value in batch.items()}
    assert model(**series).shape == (BATCH, STEPS, 3)
    shuffled = torch.tensor([3, 0, 4, 1, 2])
    permuted = {key: value if key == "marks" else value[..., shuffled] for key, value in batch.items()}
    torch.testing.assert_close(model(**permuted), model(**batch)[..., shuffled], atol=1e-5, rtol=1e-5)


def test_imputation_scores_missing_entries_and_nothing_else():
    model, batch = build("imputation"), batch_of("imputation")
    error = (model(**batch) - batch["inputs"])[~batch["mask"]]
    torch.testing.assert_close(loss_of(model, batch), (error**2).mean())


def test_imputation_does_not_read_what_is_missing():
    model, batch = build("imputation"), batch_of("imputation")
    hidden = torch.where(batch["mask"], batch["inputs"], 7.0)
    torch.testing.assert_close(model(hidden, batch["marks"], batch["mask"]), model(**batch), atol=0, rtol=0)
    moved = batch["inputs"].clone()
    moved[batch["mask"]] += 1
    assert (model(moved, batch["marks"], batch["mask"]) - model(**batch)).abs().max() > 0.1


def test_missing_entries_are_read_as_zeros():
    model, batch = build("imputation"), batch_of("imputation")
    zeros = batch["inputs"] * batch["mask"]
    everything = torch.ones_like(batch["mask"])
    torch.testing.assert_close(model(zeros, batch["marks"], everything), model(**batch), atol=0, rtol=0)


def test_a_mask_of_ones_has_no_loss_and_no_gradient_and_keeps_every_value():
    model, batch = build("imputation"), batch_of("imputation")
    batch["mask"] = torch.ones(BATCH, STEPS, VARIATES)  # the official code's masks are numbers
    loss = loss_of(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad.any() for p in model.parameters())
    merged = torch.stack([sample["merged"] for sample in model(**batch, mode="predict")])
    torch.testing.assert_close(merged, batch["inputs"], atol=0, rtol=0)


def test_without_a_mask_nan_is_what_is_missing():
    model, batch = build("imputation"), batch_of("imputation")
    known = model(**batch, mode="predict")
    gaps = torch.where(batch["mask"], batch["inputs"], torch.nan)
    for sample, expected in zip(model(gaps, batch["marks"], mode="predict"), known, strict=True):
        assert "target" not in sample
        assert sample["merged"].isfinite().all()
        for key in sample:
            torch.testing.assert_close(sample[key], expected[key], atol=0, rtol=0)


def test_imputation_merges_the_observed_with_the_imputed():
    batch = batch_of("imputation")
    for i, sample in enumerate(build("imputation")(**batch, mode="predict")):
        assert sorted(sample) == ["imputed", "mask", "merged", "target"]
        mask = batch["mask"][i]
        assert torch.equal(sample["mask"], mask)
        assert torch.equal(sample["merged"][mask], batch["inputs"][i][mask])
        assert torch.equal(sample["merged"][~mask], sample["imputed"][~mask])
        assert torch.equal(sample["target"], batch["inputs"][i])


def test_marks_take_part_in_imputation():
    model, batch = build("imputation"), batch_of("imputation")
    assert (model(**batch) - model(**(batch | {"marks": None}))).abs().max() > 1e-4


def test_anomaly_scores_are_the_squared_error_of_each_step():
    model, inputs = build("anomaly_detection"), batch_of("anomaly_detection")["inputs"]
    labels = torch.arange(BATCH * STEPS).reshape(BATCH, STEPS) % 2
    samples = model(inputs, labels, mode="predict")
    scores = torch.stack([sample["score"] for sample in samples])
    torch.testing.assert_close(scores, ((model(inputs) - inputs) ** 2).mean(2))
    torch.testing.assert_close(scores.mean(), loss_of(model, {"inputs": inputs, "labels": labels}))
    assert torch.equal(torch.stack([sample["labels"] for sample in samples]), labels)


def test_a_scaled_and_shifted_window_is_reconstructed_scaled_and_shifted():
    model, inputs = build("anomaly_detection"), batch_of("anomaly_detection")["inputs"]
    scale, shift = torch.tensor([2.0, 0.5, 3.0, 1.0, 7.0]), torch.tensor([1.0, -4.0, 0.0, 20.0, 3.0])
    torch.testing.assert_close(model(inputs * scale + shift), model(inputs) * scale + shift, atol=2e-4, rtol=2e-4)


def test_classification_is_not_normalised_and_its_scores_add_up():
    model, batch = build("classification"), batch_of("classification")
    samples = model(**batch, mode="predict")
    logits = model(batch["inputs"])
    torch.testing.assert_close(torch.stack([sample["logits"] for sample in samples]), logits)
    torch.testing.assert_close(torch.stack([s["scores"] for s in samples]).sum(1), torch.ones(BATCH))
    assert [int(sample["pred"]) for sample in samples] == logits.argmax(1).tolist()
    assert [int(sample["label"]) for sample in samples] == [3, 0, 1]
    assert (model(batch["inputs"] + 3) - logits).abs().max() > 0.01


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("imputation", {"inputs": torch.zeros(BATCH, 30, VARIATES)}, "seq_len=24"),
        ("imputation", {"mask": torch.ones(BATCH, STEPS, 1)}, "one entry of the mask for each value"),
        ("imputation", {"mask": None, "mode": "loss"}, "ImputationWindows"),
        ("imputation", {"marks": torch.zeros(BATCH, 30, 4)}, "^marks have shape"),
        ("imputation", {"marks": torch.zeros(1, STEPS, 4)}, "^marks have shape"),
        ("imputation", {"mode": "test"}, "mode='test'"),
        ("anomaly_detection", {"inputs": torch.zeros(STEPS, VARIATES)}, "seq_len=24"),
        ("anomaly_detection", {"mode": "test"}, "mode='test'"),
        ("classification", {"inputs": torch.zeros(BATCH, STEPS, 6)}, "model.n_variates=6"),
        ("classification", {"labels": None, "mode": "loss"}, "give the data set labels"),
        ("classification", {"mode": "test"}, "mode='test'"),
    ],
)
def test_wrong_calls_name_the_cause(task, changes, message):
    with pytest.raises(ValueError, match=message):
        build(task)(**(batch_of(task) | changes))


def official_state(task: str) -> dict[str, torch.Tensor]:
    return to_official(build(task).state_dict(), head="projection")


@every_task
def test_checkpoints_go_both_ways(task):
    model, official = build(task), official_state(task)
    assert official["projection.weight"].shape == ((4, 5 * 32) if task == "classification" else (24, 32))
    for state in (official, {f"module.{key}": value for key, value in official.items()}):
        meta = task_checkpoint.target(official, task=task)
        assert type(meta) is type(model)
        ours = from_official(state, meta)
        assert ours.keys() == model.state_dict().keys()
        assert all(torch.equal(ours[key], value) for key, value in model.state_dict().items())


@every_task
@pytest.mark.parametrize("layout", ["official", "ours"])
def test_sizes_are_read_off_either_layout(task, layout):
    state = official_state(task) if layout == "official" else build(task).state_dict()
    expected = {k: v for k, v in build(task).settings.items() if k not in ("n_heads", "activation", "attention")}
    assert task_checkpoint.infer_config(state, task=task) == {"model": expected}
    assert task_checkpoint.infer_config(state, task=task, n_heads=8)["model"]["n_heads"] == 8
    assert task_checkpoint.is_task_state(state) == (task == "classification")


def test_a_classifier_is_known_by_its_shapes_and_the_others_must_be_named():
    assert isinstance(task_checkpoint.target(official_state("classification")), ITransformerClassifier)
    with pytest.raises(ValueError, match="give task, one of 'imputation', 'anomaly_detection', 'classification'"):
        task_checkpoint.target(official_state("imputation"))
    with pytest.raises(ValueError, match="task='forecast' is not one of"):
        task_checkpoint.target(official_state("imputation"), task="forecast")
    with pytest.raises(ValueError, match="n_heads=0 is not positive"):
        task_checkpoint.infer_config(official_state("classification"), n_heads=0)


def test_a_forecaster_is_no_task():
    forecaster = ITransformer(**SMALL, pred_len=12)
    assert not task_checkpoint.is_task_state(forecaster.state_dict())
    official = to_official(forecaster.state_dict(), head="projection")
    with pytest.raises(CheckpointMismatchError, match=r"head\.proj\.weight: \(12, 32\) in the file, \(24, 32\)"):
        from_official(official, task_checkpoint.target(official, task="imputation"))


@every_task
def test_incomplete_files_are_refused_by_their_keys(task):
    official = official_state(task)
    for key in official:
        part = {name: value for name, value in official.items() if name != key}
        with pytest.raises(CheckpointMismatchError) as caught:
            from_official(part, task_checkpoint.target(part, task=task))
        assert key.replace("projection.", "head.proj.", key.startswith("projection.")) in str(caught.value)


def test_a_checkpoint_of_another_task_is_refused_although_its_weights_fit():
    imputer, forecaster = build("imputation"), ITransformer(**SMALL, pred_len=SMALL["seq_len"])
    for model, other, words in (
        (imputer, forecaster, "task: forecast in the file, imputation in the config"),
        (forecaster, imputer, "task: imputation in the file, forecast in the config"),
    ):
        checkpoint = {"state_dict": other.state_dict(), "meta": {"model": other.settings}}
        with pytest.raises(CheckpointMismatchError, match=f"{words}. Fix: set model.type"):
            load_strictly(model, checkpoint)


@every_task
def test_the_tool_converts_files_of_a_named_task_and_back(task, tmp_path):
    official = official_state(task)
    torch.save(official, tmp_path / "checkpoint.pth")
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    meta = convert_file("itransformer", tmp_path / "checkpoint.pth", ours, task=task, n_heads=4)
    assert meta["model"].items() <= build(task).settings.items()
    load_strictly(build(task), load(ours))
    with pytest.raises(CheckpointMismatchError, match="n_heads: 4 in the file, 2 in the config"):
        load_strictly(build(task, n_heads=2), load(ours))
    convert_file("itransformer", ours, back, to_official=True, head="projection")
    returned = strip_wrappers(load(back))
    assert returned.keys() == official.keys()
    assert all(torch.equal(returned[key], value) for key, value in official.items())


def test_a_width_that_the_heads_do_not_divide_is_filled():
    with pytest.warns(UserWarning, match="d_model=32"):
        model = build("imputation", n_heads=5)
    official = to_official(model.state_dict(), head="projection")
    with pytest.warns(UserWarning, match="d_model=32"):
        meta = task_checkpoint.target(official, task="imputation")
    assert from_official(official, meta).keys() == model.state_dict().keys()


NUMBER = itertools.count()


def config_of(work_dir: Path, model: dict, datasets: dict[str, dict], evaluator: dict, best: str, rule: str) -> Config:
    def loader(split: str, shuffle: bool) -> dict:
        return dict(
            batch_size=16,
            num_workers=0,
            persistent_workers=False,
            sampler=dict(type="DefaultSampler", shuffle=shuffle, round_up=shuffle),
            collate_fn=dict(type="identity_collate"),
            dataset=datasets[split],
        )

    return Config(
        dict(
            default_scope="mmengine",
            work_dir=str(work_dir),
            log_level="ERROR",
            experiment_name=f"task_{next(NUMBER)}",  # mmengine keeps one logger per name
            model=dict(model, d_model=16, d_ff=32, n_heads=2),
            train_dataloader=loader("train", True),
            val_dataloader=loader("val", False),
            test_dataloader=loader("test", False),
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            train_cfg=dict(type="ResumableEpochLoop", max_epochs=3, val_interval=1),
            val_cfg=dict(type="ValLoop"),
            test_cfg=dict(type="TestLoop"),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=3e-3)),
            default_hooks=dict(checkpoint=dict(type="AtomicCheckpointHook", save_best=best, rule=rule)),
            custom_hooks=[
                dict(type="ITransformerCheckpointHook"),
                dict(type="StrictLoadHook", paper="itransformer"),
                dict(type="LoadBestHook"),
            ],
            randomness=dict(seed=1),
        )
    )


def train_and_test(config: Config) -> tuple[dict, dict]:
    """Return the test metrics before training and after it, with the best weights, which are what was stored."""
    runner = Runner.from_cfg(config)
    before = runner.test()
    runner.train()
    best = load(next(Path(config.work_dir).glob("best_*.pth")))
    fresh = MODELS.build(config.model)
    load_strictly(fresh, best)
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in runner.model.state_dict().items())
    assert best["meta"]["model"] == fresh.settings
    other = MODELS.build(dict(config.model, n_heads=4))
    with pytest.raises(CheckpointMismatchError, match="n_heads: 2 in the file, 4 in the config"):
        load_strictly(other, best)
    return before, runner.test()


def test_imputation_trains_on_windows_with_gaps(tmp_path):
    windows = dict(type="Lorenz96Dataset", seq_len=24, pred_len=1, generate=dict(steps=400, variates=5))
    datasets = {
        split: dict(type="ImputationWindows", mask_rate=0.5, dataset=dict(windows, split=split, time_features=True))
        for split in ("train", "val", "test")
    }
    model = dict(type="ITransformerImputer", seq_len=24)
    before, after = train_and_test(config_of(tmp_path, model, datasets, dict(type="ImputationMetric"), "mse", "less"))
    assert after["mse"] < 0.7 * before["mse"]
    assert after["missing"] == before["missing"]
    assert after["windows"] == 80


def waves(rows: int) -> pd.DataFrame:
    t = np.arange(rows)
    columns = {f"s{i}": np.sin(2 * np.pi * t / 12 + i) + 0.1 * np.cos(2 * np.pi * t / 5) for i in range(4)}
    return pd.DataFrame({"date": pd.date_range("2020-01-01", periods=rows, freq="h"), **columns})


def test_anomaly_detection_finds_two_stuck_sensors(tmp_path):
    train, test = waves(400), waves(210)
    test["label"] = 0
    test.loc[100:103, ["s0", "s1", "label"]] = [0, 0, 1]
    train.to_csv(tmp_path / "train.csv", index=False)
    test.to_csv(tmp_path / "test.csv", index=False)
    files = dict(train_file=str(tmp_path / "train.csv"), test_file=str(tmp_path / "test.csv"))
    datasets = {s: dict(type="AnomalyDataset", split=s, seq_len=24, **files) for s in ("train", "val", "test")}
    model = dict(type="ITransformerAnomalyDetector", seq_len=24)
    metric = dict(type="AnomalyMetric", anomaly_ratio=0.7)
    before, after = train_and_test(config_of(tmp_path / "work", model, datasets, metric, "mse", "less"))
    assert after["mse"] < 0.1 * before["mse"]
    assert after["steps"] == 210
    assert after["f1_raw"] > 0.6 > 0.3 > before["f1_raw"]


def test_classification_learns_which_wave_it_sees(tmp_path):
    random, t = np.random.default_rng(0), np.arange(24)
    labels = np.arange(96) % 2
    phases = random.random((96, 1, 1)) * 2 * np.pi
    periods = np.where(labels == 0, 12, 6)[:, None, None]
    inputs = np.sin(2 * np.pi * t[:, None] / periods + phases + np.arange(3)) + 0.1 * random.normal(size=(96, 24, 3))
    for split, part in {"train": slice(0, 64), "test": slice(64, None)}.items():
        np.savez(tmp_path / f"{split}.npz", inputs=inputs[part], labels=labels[part])
    of_file = {split: str(tmp_path / f"{split}.npz") for split in ("train", "test")}
    dataset = dict(type="ClassificationDataset", train_file=of_file["train"])
    datasets = {split: dict(dataset, file=of_file.get(split, of_file["test"])) for split in ("train", "val", "test")}
    model = dict(type="ITransformerClassifier", seq_len=24, n_variates=3, num_class=2)
    config = config_of(tmp_path / "work", model, datasets, dict(type="ClassAccuracyMetric"), "accuracy", "greater")
    config.train_cfg.max_epochs = 8
    _, after = train_and_test(config)
    assert after["baseline_accuracy"] == 0.5
    assert after["accuracy"] > 0.9
