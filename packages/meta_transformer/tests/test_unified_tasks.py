"""One encoder for models of three kinds: a classifier, a forecaster and a graph's value; and the alternating recipe."""

import copy
from collections import Counter
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, METRICS, MODELS

from mm_meta_transformer.checkpoint_hook import settings_of
from mm_meta_transformer.models.unified_preprocessor import collate_as_lists
from mmrepro import papers
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, tiny

PADDED = ("node_data", "edge_data", "edge_index", "lap_eigvec")
MODEL = dict(
    type="MetaTransformerUnified",
    encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2), frozen=False),
    models=dict(
        image=dict(
            type="MetaTransformerClassifier",
            tokenizer=dict(type="ImageTokenizer", img_size=8, patch_size=4),
            head=dict(type="MetaLinearHead", num_classes=10),
        ),
        series=dict(
            type="MetaTransformerForecaster",
            seq_len=12,
            pred_len=4,
            label_len=6,
            enc_in=5,
            n_heads=2,
            d_ff=16,
            dropout=0.0,
        ),
        graph=dict(
            type="MetaTransformerGraphRegressor",
            tokenizer=dict(type="GraphTokenizer", num_atoms=8, num_edges=8, lap_dims=4, lap_dropout=0.0),
        ),
    ),
)
DATA = dict(
    image=dict(type="ScikitDigits", count=8, pipeline=[dict(type="PackMetaInputs", keys="img")]),
    series=dict(
        type="Lorenz96Dataset",
        generate=dict(steps=60, variates=5),
        split="train",
        seq_len=12,
        pred_len=4,
        time_features=True,
        future_marks=True,
    ),
    graph=dict(
        type="GeneratedMoleculesDataset",
        count=8,
        node_columns=1,
        edge_columns=1,
        pipeline=[
            dict(type="PrepareGraph", num_eigenvectors=4),
            dict(type="PackMetaInputs", keys=PADDED, fields=("gt_value",)),
        ],
    ),
)
PARTS = ("encoder", "models.image", "models.series", "models.graph")


@cache
def mixture_of_all():
    return DATASETS.build(dict(type="TaskMixture", datasets=copy.deepcopy(DATA)))


@pytest.fixture
def mixture():  # built in the scope that another fixture sets for each test
    return mixture_of_all()


def build():
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(MODEL))
    model.init_weights()
    return model


def batches(mixture, **sampler):
    loader = dict(
        dataset=mixture,
        batch_size=6,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        collate_fn=dict(type="collate_as_lists"),
    )
    return list(Runner.build_dataloader(loader | sampler, seed=0))


def loss_of(model, batch):
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    return model.parse_losses(losses)[0], losses


def reached(model):
    """Return the parts with a gradient, and check that every gradient is finite."""
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    return {part for part in PARTS for name, one in gradients.items() if name.startswith(f"{part}.") and one.any()}


def test_three_tasks_are_trained_in_turns(mixture):
    model = build().train()
    tasks = Counter()
    for batch in batches(mixture, batch_sampler=dict(type="AlternatingBatchSampler")):
        model.zero_grad()
        loss, losses = loss_of(model, batch)
        loss.backward()
        (task,) = {name.partition(".")[0] for name in losses}
        assert reached(model) == {"encoder", f"models.{task}"}
        tasks[task] += 1
    assert tasks.keys() == DATA.keys()


def test_three_tasks_are_trained_together(mixture):
    model = build().train()
    optimiser = torch.optim.Adam(model.parameters(), 0.005)
    batch = next(one for one in batches(mixture) if len({sample.task for sample in one["data_samples"]}) == 3)
    seen = []
    for _ in range(8):
        loss, losses = loss_of(model, copy.deepcopy(batch))
        assert losses.keys() == {"image.loss", "series.loss_mse", "graph.loss"}
        optimiser.zero_grad()
        loss.backward()
        assert reached(model) == set(PARTS)
        without = {name for name, one in model.named_parameters() if one.grad is None}
        assert without == set()
        optimiser.step()
        seen.append({name: value.item() for name, value in losses.items()})
    assert all(seen[-1][name] < 0.9 * seen[0][name] for name in seen[0])


def test_their_encoder_is_one_and_is_stored_once():
    model = build()
    assert all(part.encoder is model.encoder for part in model.models.values())
    state = model.state_dict()
    assert {key.partition(".blocks.")[0] for key in state if ".blocks." in key} == {"encoder"}
    assert sum(value.numel() for value in state.values()) >= sum(one.numel() for one in model.parameters())
    assert len({value.data_ptr() for key, value in state.items() if key.startswith("encoder.")}) == 2 * 12


def test_each_task_gives_what_its_model_gives_alone(mixture):
    model = build().eval()
    (batch,) = batches(mixture, batch_size=len(mixture))
    data = model.data_preprocessor(batch)
    raw, predicted = model(**data), model(**data, mode="predict")
    assert [sample.task for sample in predicted] == [sample.task for sample in batch["data_samples"]]
    windows = [mixture.datasets["series"][at] for at in range(3)]
    alone = model.models["series"].predict(**{key: torch.stack([one[key] for one in windows]) for key in windows[0]})
    items = collate_as_lists([{"inputs": {"series": one}} for one in windows])
    for without_samples, one in zip(model(**model.data_preprocessor(items), mode="predict"), alone, strict=True):
        torch.testing.assert_close(without_samples.forecast, one["forecast"])
    graphs = model.models["graph"].data_preprocessor(
        collate_as_lists([mixture.datasets["graph"][at] for at in range(8)])
    )
    alone = model.models["graph"](graphs["inputs"])[:, 0].sort().values
    torch.testing.assert_close(raw["graph"][:, 0].sort().values, alone)
    torch.testing.assert_close(
        torch.stack([one.pred_value for one in predicted if one.task == "graph"]).sort().values, alone
    )


def test_each_task_has_its_own_metric(mixture):
    model = build().eval()
    metrics = {
        "image": dict(type="Accuracy"),
        "series": dict(type="ForecastMetric"),
        "graph": dict(type="MetaAbsoluteErrorMetric"),
    }
    metrics = [METRICS.build(dict(type="TaskMetrics", task=task, metrics=one)) for task, one in metrics.items()]
    for batch in batches(mixture, batch_size=20):
        with torch.no_grad():
            samples = model(**model.data_preprocessor(batch), mode="predict")
        for metric in metrics:
            metric.process(None, [sample.to_dict() for sample in samples])
    found = {key: value for metric in metrics for key, value in metric.evaluate(len(mixture)).items()}
    assert {"image/accuracy/top1", "series/mse", "baseline_series/mse", "graph/mae", "baseline_graph/mae"} <= set(found)
    assert found["series/windows"] == len(mixture.datasets["series"])
    assert found["series/mse"] > 0


def test_a_forecast_is_no_part_of_a_fused_task(mixture):
    config = copy.deepcopy(MODEL) | dict(fused=dict(both=dict(type="MetaLinearHead", num_classes=2)))
    model = MODELS.build(config)
    items = [{"inputs": {name: mixture.datasets[name][0] for name in ("series",)}}]
    items[0]["inputs"]["image"] = mixture.datasets["image"][0]["inputs"]
    with pytest.raises(ValueError, match="series of a fused sample has a MetaTransformerForecaster"):
        model(**model.data_preprocessor(collate_as_lists(items)))


def test_what_no_weight_of_the_parts_shows_is_in_checkpoints():
    settings = settings_of(build())
    assert settings["models.series.forecaster"]["label_len"] == 6
    assert settings["models.image.network"]["pooling"] == "cls"
    assert settings["encoder"] == {"num_heads": 2, "norm_eps": 1e-5}


def test_the_alternating_recipe_trains_every_part(tmp_path):
    name = "meta-transformer_unified_alternating_digits-imu"
    config = tiny(load_config(papers.find_config("meta_transformer", name)))
    config.pop("tiny")
    config = Config(config.to_dict(), format_python_code=False)  # each of the many times that a runner writes it down
    for loader in (config.train_dataloader, config.val_dataloader):
        tasks = loader.dataset.datasets
        for dataset in (tasks.digit.datasets.audio, tasks.imu):
            dataset.serialize_data = False  # it collects the garbage of the whole process
    config.merge_from_dict(
        {
            "train_dataloader.batch_sampler": dict(type="AlternatingBatchSampler"),
            "train_dataloader.batch_size": 4,
            "train_cfg": dict(max_epochs=1, val_interval=1),
            "default_hooks.logger.interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "optim_wrapper.optimizer.weight_decay": 0.0,
        }
    )
    config.work_dir, config.log_level, config.experiment_name = str(tmp_path), "ERROR", "turns"
    runner = Runner.from_cfg(config)
    runner.model.init_weights()
    before = {name: one.clone() for name, one in runner.model.named_parameters()}
    model = runner.train()
    taught = {task: runner.message_hub.get_scalar(f"train/{task}.loss").data[0] for task in ("digit", "imu")}
    steps = runner.message_hub.get_scalar("train/loss").data[0]
    assert len(steps) == runner.iter == sum(map(len, taught.values()))  # never two tasks in a batch
    assert all(len(losses) > 0 for losses in taught.values())
    assert all(torch.tensor(losses).isfinite().all() for losses in taught.values())
    assert [name for name, one in model.named_parameters() if torch.equal(one, before[name])] == []
    state = load(tmp_path / "epoch_1.pth")["state_dict"]
    assert {key.partition(".blocks.")[0] for key in state if ".blocks." in key} == {"encoder"}
    assert runner.message_hub.get_scalar("val/digit/accuracy/top1").current() >= 0
