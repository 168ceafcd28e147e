"""Training and testing with the recipes of the configs, on small models and generated or very small data."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_meta_transformer.checkpoint import is_official, to_official
from mmrepro import papers
from mmrepro.checkpoint import convert_file
from mmrepro.engine import configuration
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.engine.errors import NonFiniteError
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, tiny
from mmrepro.testing.distributed import assert_mim_two_ranks_train
from mmrepro.testing.mean_gradients import assert_two_ranks_average_to_one
from mmrepro.testing.resume import assert_resume_bit_equal, differences, final_state

DIGITS = "smoke_image"
SERIES = "smoke_time-series"
PIXELS = "meta-transformer_base_1xb64_indian-pines"
CLOUDS = "smoke_point-cloud"
FEATURES = "meta-transformer_frozen-features_digits"
TURNS = "meta-transformer_unified_alternating_digits-imu"
# One of each tokenizer and each kind of model but those of point clouds: a batch norm sees half of the batch on each of
# two processes, as in the official code.
SPLIT = {
    "picture": "meta-transformer_base_chest-xray",
    "clip": "smoke_video",
    "sound": "meta-transformer_base_frozen_4xb32-200e_speechcommands-224mel",
    "pixels": PIXELS,
    "rows": "meta-transformer_base_adult",
    "sentences": "meta-transformer_base_sst2",
    "molecules": "meta-transformer_base_pcqm4mv2",
    "series": "meta-transformer_base_frozen_1xb32-10e_etth1-96to96",
    "sensors": "smoke_imu",
    "persons": "meta-transformer_base_infrared-regdb",
}
NUMBER = itertools.count()


def small(name: str, work_dir: Path, **changes) -> Config:
    """Return the tiny version of a config, with dotted keys changed (``__`` for ``.``)."""
    config = tiny(load_config(papers.find_config("meta_transformer", name)))
    config.pop("tiny")
    config = Config(config.to_dict(), format_python_code=False)  # each of the many times that a runner writes it down
    config.work_dir, config.log_level = str(work_dir), "ERROR"
    config.experiment_name = f"small_{next(NUMBER)}"  # mmengine keeps one logger per name
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Path, list[float]]:
    """Digits of one encoder of 48 channels: its config, its last checkpoint and the logged losses."""
    config = small(
        DIGITS,
        tmp_path_factory.mktemp("trained"),
        model__encoder__arch=dict(embed_dims=48, depth=2, num_heads=3),
        train_dataloader=dict(batch_size=32, dataset=dict(count=320)),
        test_dataloader__dataset__count=120,
        train_cfg__max_epochs=8,
        optim_wrapper__optimizer__lr=3e-3,
        default_hooks__logger__interval=1,
    )
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    losses = runner.message_hub.log_scalars["train/loss"].data[0]
    return config, Path(config.work_dir) / "epoch_8.pth", list(losses)


def evaluate(config: Config, checkpoint: Path, work_dir: Path) -> dict[str, float]:
    config = copy.deepcopy(config)
    config.load_from, config.work_dir = str(checkpoint), str(work_dir)
    config.experiment_name = f"evaluation_{next(NUMBER)}"
    return Runner.from_cfg(config).test()


def test_the_loss_falls_and_the_model_beats_its_baseline(trained, tmp_path):
    config, checkpoint, losses = trained
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
    found = evaluate(config, checkpoint, tmp_path)
    assert found["accuracy/top1"] > 4 * found["baseline_accuracy/top1"]
    assert load(checkpoint)["meta"]["model"]["network"]["pooling"] == "mean"


def test_two_evaluations_are_equal_whatever_the_batch(trained, tmp_path):
    config, checkpoint, _ = trained
    other = copy.deepcopy(config)
    other.test_dataloader.batch_size = 7
    assert evaluate(config, checkpoint, tmp_path) == evaluate(other, checkpoint, tmp_path)


@pytest.mark.parametrize("name", [SERIES, PIXELS])
def test_the_tool_tests_official_files_and_converted_ones(name, tmp_path):
    config = small(name, tmp_path / "work")
    config.model.encoder.frozen = False
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    ours = next((tmp_path / "work").glob("*.pth"))
    state = to_official(load(ours)["state_dict"])
    assert is_official(state)
    torch.save(state, tmp_path / "official.pth")
    convert_file("meta_transformer", tmp_path / "official.pth", tmp_path / "converted.safetensors")
    config.dump(tmp_path / "config.py")
    results = []
    for checkpoint in (ours, tmp_path / "official.pth", tmp_path / "converted.safetensors"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "test"]
        test_tool.main("meta_transformer", [str(argument) for argument in arguments])
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1] == results[2]


def test_what_is_frozen_stays_and_the_rest_is_trained(tmp_path):
    config = small(PIXELS, tmp_path)
    runner = Runner.from_cfg(config)
    runner.model.init_weights()
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    model = runner.train()
    assert not model.encoder.training
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not name.startswith("encoder.")}


def test_amp_trains_in_bfloat16_and_stays_close_to_float32(tmp_path):
    small(SERIES, tmp_path, model__dropout=0.0).dump(tmp_path / "config.py")
    weights, metrics = [], []
    for name, options in (("float32", []), ("bfloat16", ["--amp"])):
        options = [*options, "--cfg-options", "train_cfg.max_iters=8", f"experiment_name={name}"]
        train_tool.main("meta_transformer", [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / name), *options])
        last = tmp_path / name / "iter_8.pth"
        weights.append(load(last)["state_dict"])
        metrics.append(evaluate(small(SERIES, tmp_path), last, tmp_path)["mse"])
    assert all(value.dtype == torch.float32 for value in weights[1].values())
    assert any(not torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert metrics[1] == pytest.approx(metrics[0], rel=0.02)


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """Point clouds have the most that must be kept: batch norms, dropout and random transforms."""
    config = small(CLOUDS, tmp_path, model__head__dropout=0.5)
    assert_resume_bit_equal(config, tmp_path, kill_at=[3], num_workers=[2], checkpoint_every=2)


class Break(Hook):
    """Ends a training by an error."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise ConnectionError("broken off")


@pytest.mark.parametrize("name", [FEATURES, TURNS])
def test_a_training_that_broke_off_goes_on_as_if_nothing_had_happened(name, tmp_path, monkeypatch):
    """In one process, which saves seconds: with kept features, and with pairs that are drawn and tasks in turns."""

    def runner(run, **changes):
        config = small(name, tmp_path / run, train_cfg=dict(max_epochs=2), **changes)
        config.val_dataloader = config.val_evaluator = config.val_cfg = None
        config.default_hooks.checkpoint.update(by_epoch=False, interval=2, save_best=None)
        config.default_hooks.logger.interval = 1
        if name == FEATURES:
            (hook,) = (one for one in config.custom_hooks if one["type"] == "FeatureCacheHook")
            hook.folder = str(tmp_path / "features")
            config.train_dataloader.batch_size = 4
        else:
            config.train_dataloader.batch_sampler = dict(type="AlternatingBatchSampler")
            config.train_dataloader.dataset.datasets.digit.missing = 0.5
        return Runner.from_cfg(config)

    monkeypatch.setattr(Runner, "_log_env", lambda self, env: None)  # it asks compilers and git
    runner("left_alone").train()
    broken = runner("broken_off")
    broken.register_hook(Break(7))  # in the second epoch, one step after a checkpoint
    with pytest.raises(ConnectionError, match="broken off"):
        broken.train()
    resumed = runner("broken_off", resume=True)
    resumed.train()
    assert differences(final_state(tmp_path / "left_alone"), final_state(tmp_path / "broken_off")) == []


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    configs = {part: small(name, tmp_path) for part, name in SPLIT.items()}
    configs["series"].model.dropout = 0.0
    configs["clip"].train_dataloader.dataset.pipeline[0].random = False
    assert_two_ranks_average_to_one(configs, tmp_path, dtype=torch.float64)


def test_mim_trains_with_two_processes_that_stay_equal(tmp_path):
    """Tasks in turns: every step leaves weights without a gradient, those of the other tasks."""
    turns = dict(type="AlternatingBatchSampler")
    assert_mim_two_ranks_train(
        "meta_transformer", small(TURNS, tmp_path, train_dataloader__batch_sampler=turns), tmp_path
    )


@pytest.mark.parametrize("part", ["tokenizer.cls_token", "encoder.blocks.1.mlp.fc2.bias", "head.fc.weight"])
def test_a_bad_gradient_stops_before_its_step(tmp_path, part):
    runner = Runner.from_cfg(small(DIGITS, tmp_path))
    runner.model.get_parameter(part).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=rf"iteration 1: the gradient of '{part}' is not finite"):
        runner.train()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())


def test_a_published_training_without_its_encoder_says_where_that_is(tmp_path):
    config = small(PIXELS, tmp_path)
    config.model.encoder.init_cfg = dict(type="PretrainedMetaEncoder", checkpoint=str(tmp_path / "encoder.pth"))
    with pytest.raises(FileNotFoundError, match=r"encoder\.pth is not there\. (.|\n)*drive\.google\.com"):
        Runner.from_cfg(config).train()


def test_the_learning_rate_is_scaled_for_all_groups(tmp_path):
    config = small("meta-transformer_base_k400-16x4", tmp_path, train_dataloader__batch_size=4)
    config.auto_scale_lr.enable = True
    before = Runner.from_cfg(config).build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
    said = configuration.scale_learning_rate(config, processes=2)
    assert "2 process(es) x 4 samples = a batch of 8, and it is meant for 96" in said
    config.experiment_name = f"scaled_{next(NUMBER)}"
    after = Runner.from_cfg(config).build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
    assert len({group["lr"] for group in before}) > 2  # by depth
    assert [group["lr"] for group in after] == pytest.approx([group["lr"] / 12 for group in before])
