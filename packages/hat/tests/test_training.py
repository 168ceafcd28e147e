"""Training and testing with the paper's recipes, on generated pictures and small networks."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mm_hat.checkpoint import settings_of, to_official
from mm_hat.inferencer import HATInferencer
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.datasets.generated.textures import texture_folder
from mmrepro.engine import configuration
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.engine.errors import NonFiniteError
from mmrepro.safe_loading import load
from mmrepro.testing import tiny
from mmrepro.testing.distributed import assert_mim_two_ranks_train, assert_two_ranks_equal_one
from mmrepro.testing.resume import assert_resume_bit_equal

PLAIN = "hat_8xb4-500k_df2k-x2"
FROM_X2 = "hat_8xb4-250k_df2k-x4_from-x2"
PRETRAINED = "hat_8xb4-250k_df2k-x2_in1k-pre"
GAN = "real-hat-gan_8xb4-400k_dfo-x4"
NUMBER = itertools.count()
EMA = "BasicSREMAHook"


def small(name: str, work_dir: Path, **changes) -> Config:
    """Return the tiny version of a config with dotted keys changed (``__`` for ``.``)."""
    config = tiny(Config.fromfile(papers.find_config("hat", name)))
    config.work_dir, config.log_level = str(work_dir), "ERROR"
    config.experiment_name = f"small_{next(NUMBER)}"  # mmengine keeps one logger per name
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def hook(config: Config, kind: str) -> dict:
    return next(each for each in config.custom_hooks if each.type == kind)


def gan(work_dir: Path, **changes) -> Config:
    """Return a small Real-HAT-GAN without the perceptual loss, whose network would take most of the time."""
    config = small(GAN, work_dir, **changes)
    config.model.perceptual_loss = None
    return config


def degrading_gan(work_dir: Path, pictures: Path, **changes) -> Config:
    """Return one that degrades while it trains, with a pool that is full after two batches."""
    config = gan(work_dir, **changes)
    config.model.data_preprocessor.degradation.update(scale=2, gt_size=32, queue_size=4)
    config.train_dataloader.batch_size = 2
    config.train_dataloader.dataset = dict(
        type="RealESRGANDataset", data_prefix=dict(gt=str(pictures)), crop_pad_size=96
    )
    return config


@pytest.fixture(scope="module")
def pictures() -> Path:
    return texture_folder(count=4, size=112)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Path]:
    """A training of a few steps: its config and its best checkpoint."""
    return train(small(PLAIN, tmp_path_factory.mktemp("trained"), optim_wrapper__optimizer__lr=3e-3), 5)


def train(config: Config, iterations: int) -> tuple[Config, Path]:
    """Train, with an average that follows quickly, and return the config and the best checkpoint."""
    config.train_cfg.update(max_iters=iterations, val_interval=iterations)
    config.default_hooks.checkpoint.interval = iterations
    hook(config, EMA).momentum = 0.3
    Runner.from_cfg(copy.deepcopy(config)).train()
    return config, next(Path(config.work_dir).glob("best_*.pth"))


@pytest.fixture
def official(trained, tmp_path) -> Path:
    """The same weights as an official file."""
    path = tmp_path / "official.pth"
    torch.save({"params_ema": to_official(load(trained[1])["state_dict"])}, path)
    return path


def test_training_beats_bicubic_interpolation_and_keeps_the_settings(tmp_path):
    """Of the network that starts at bicubic interpolation: the paper's own takes hours to get there."""
    config = small(PLAIN, tmp_path / "training", optim_wrapper__optimizer__lr=3e-3)
    config.model.generator.update(type="ResidualHAT", drop_path_rate=0.0)
    config, best = train(config, 100)
    config.load_from, config.work_dir, config.experiment_name = str(best), str(tmp_path), "evaluation"
    metrics = Runner.from_cfg(config).test()
    assert metrics["Set5/psnr"] > metrics["baseline_Set5/psnr"] + 0.02
    settings = load(best)["meta"]["model"]["generator"]
    expected = dict(type="ResidualHAT", upscale=2, embed_dim=12, window_size=8, conv_scale=0.01, img_range=1.0)
    assert settings.items() >= expected.items()


def test_the_tool_tests_official_files_and_converted_ones(trained, official, tmp_path):
    trained[0].dump(tmp_path / "config.py")
    convert_file("hat", official, tmp_path / "ours.safetensors")
    results = []
    for checkpoint in (trained[1], official, tmp_path / "ours.safetensors"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "work"]
        options = ["--cfg-options", f"experiment_name=tested_{next(NUMBER)}"]
        test_tool.main("hat", [*(str(argument) for argument in arguments), *options])
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", [PLAIN, PRETRAINED])
@pytest.mark.parametrize("layout", ["official", "ours"])
def test_training_goes_on_from_a_checkpoint_and_so_does_the_average(trained, official, tmp_path, name, layout):
    start = official if layout == "official" else trained[1]
    config = small(name, tmp_path, optim_wrapper__optimizer__lr=0.0, load_from=str(start), train_cfg__max_iters=1)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    model = Runner.from_cfg(config).train()
    expected, averaged = load(trained[1])["state_dict"], load(tmp_path / "iter_1.pth")["state_dict"]
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key
        torch.testing.assert_close(averaged[key], expected[key])


def test_a_training_of_x4_starts_with_the_body_of_x2(trained, official, tmp_path):
    changes = dict(model__generator__upscale=4, optim_wrapper__optimizer__lr=0.0, train_cfg__max_iters=1)
    config = small(FROM_X2, tmp_path, **changes, load_from=str(official))
    for step in config.train_dataloader.dataset.pipeline:
        if "scale" in step:
            step.scale = 4
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    runner = Runner.from_cfg(config)
    model = runner.train()
    start = load(trained[1])["state_dict"]
    fresh = [key for key, value in model.state_dict().items() if key not in start or not torch.equal(value, start[key])]
    assert fresh == ["generator.upsample.2.weight", "generator.upsample.2.bias"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("upscale", 4),
        ("embed_dim", 24),
        ("depths", (2, 2, 2)),
        ("window_size", 4),
        ("conv_scale", 0.5),
        ("type", "ResidualHAT"),
    ],
)
@pytest.mark.parametrize("stage", ["test", "train"])
def test_a_checkpoint_of_another_scale_or_variant_is_refused_by_name(trained, tmp_path, stage, setting, value):
    config = small(PLAIN, tmp_path, load_from=str(trained[1]))
    config.model.generator[setting] = value
    if setting == "depths":
        config.model.generator.num_heads = (2, 2, 2)
    with pytest.raises(CheckpointMismatchError, match=rf"{setting}: .* in the file, .* in the config") as refused:
        getattr(Runner.from_cfg(config), stage)()
    assert trained[1].name in str(refused.value)


def test_what_a_config_starts_from_is_what_another_one_ends_with():
    found = {path.stem: Config.fromfile(path) for path in papers.configs("hat")}
    starts = {name: Path(config.load_from) for name, config in found.items() if config.get("load_from")}
    assert {FROM_X2, PRETRAINED, GAN} <= starts.keys()
    for name, start in starts.items():
        before = found[start.parent.name]
        assert start.name == f"iter_{before.train_cfg.max_iters}.pth", name
        here, there = (dict(config.model.generator) for config in (found[name], before))
        assert {key for key in here if here[key] != there[key]} <= {"upscale"} & {
            key for key in here if "from-x2" in name
        }


def test_a_checkpoint_of_the_mse_stage_starts_the_gan_stage(trained, tmp_path):
    config = gan(tmp_path, load_from=str(trained[1]), train_cfg__max_iters=1)
    for part in ("generator", "discriminator"):
        config.optim_wrapper[part].optimizer.lr = 0.0
    model = Runner.from_cfg(config).train()
    for key, value in load(trained[1])["state_dict"].items():
        assert torch.equal(model.state_dict()[key], value)


@pytest.mark.parametrize("name", [PLAIN, GAN])
def test_amp_trains_in_bfloat16_and_goes_the_way_of_float32(tmp_path, name):
    config = gan(tmp_path) if name == GAN else small(name, tmp_path)
    config.model.generator.drop_path_rate = 0.0
    config.train_cfg.max_iters = 3
    config.default_hooks.checkpoint.interval = 3
    config.custom_hooks = [each for each in config.custom_hooks if each.type != EMA]
    # Adam's first steps are the signs of the gradients, which rounding turns where they are small.
    for each in configuration.optim_wrappers(config.optim_wrapper):
        each["optimizer"] = dict(type="SGD", lr=0.01)
    torch.manual_seed(3)
    start = MODELS.build(config.model).state_dict()
    config.load_from = str(tmp_path / "start.pth")
    torch.save({"state_dict": start}, config.load_from)
    config.dump(tmp_path / "config.py")
    states = [start]
    for mode, options in (("float32", []), ("bfloat16", ["--amp"])):
        options = [*options, "--cfg-options", f"experiment_name={mode}_{next(NUMBER)}"]
        train_tool.main("hat", [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / mode), *options])
        states.append(load(tmp_path / mode / "iter_3.pth")["state_dict"])
    parts = {key.split(".")[0] for key in start}
    assert parts == ({"generator", "discriminator"} if name == GAN else {"generator"})
    for part in parts:
        # Without the vectors of the spectral norm, which move without training.
        keys = [key for key in start if key.startswith(part) and not key.endswith(("weight_u", "weight_v"))]
        before, one, other = (torch.cat([state[key].flatten() for key in keys]) for state in states)
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        way = (one - before).norm()
        assert (one - other).norm() < 0.1 * way, part
        assert (other - before).norm() > 0.5 * way


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """Killed in the validation, whose weights are the averaged ones. With workers as well: they read the pictures."""
    config = small(PLAIN, tmp_path, train_cfg__max_iters=6, train_cfg__val_interval=3)
    config.train_dataloader.batch_size = 2
    assert_resume_bit_equal(config, tmp_path, kill_in_validation_at=[3], num_workers=(0, 2), checkpoint_every=2)
    assert "ema_state_dict" in load(tmp_path / "left_alone" / "iter_6.pth")


def test_a_killed_gan_training_goes_on_with_its_pool_of_pairs(pictures, tmp_path):
    """Without workers: what they do is the plain recipe's. The pool is in the main process."""
    config = degrading_gan(tmp_path, pictures, train_cfg__max_iters=6)
    assert_resume_bit_equal(config, tmp_path, kill_at=[5], num_workers=(0,), checkpoint_every=2)
    (pool,) = load(tmp_path / "left_alone" / "iter_6.pth")["pair_pools"].values()
    assert pool["filled"] == 4


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    config = small(PLAIN, tmp_path, model__generator__drop_path_rate=0.0)
    # Outputs start far from the truth: where they meet, rounding turns the sign of the absolute error's gradient. And
    # the pictures are small: a sum over many equal gradients rounds to one side.
    far = dict(type="Constant", val=0.02, bias=5.0, layer=[], override=dict(name="conv_last"))
    config.model.generator.init_cfg = far
    config.train_dataloader.dataset.generate = dict(count=4, size=16)
    whole = config.val_dataloader.dataset.pipeline  # no crop, which each process would draw for itself
    assert_two_ranks_equal_one(config, tmp_path, changes={"train_dataloader.dataset.pipeline": whole})


def test_two_processes_average_to_the_gradients_of_one_for_both_parts_of_a_gan(tmp_path):
    config = gan(tmp_path, model__generator__drop_path_rate=0.0)
    config.model.pixel_loss = None  # the other losses have no such jump
    whole = small(PLAIN, tmp_path).val_dataloader.dataset.pipeline
    # With the same label for both, the discriminator's two losses do not cancel to rounding noise before it has learnt.
    config.model.gan_loss.fake_label_val = 1.0
    assert_two_ranks_equal_one(config, tmp_path, changes={"train_dataloader.dataset.pipeline": whole})
    gradients = torch.load(tmp_path / "gradients_2.pth", weights_only=True)
    assert {name.split(".")[0] for name in gradients} == {"generator", "discriminator"}


def test_mim_trains_a_gan_with_two_processes_that_stay_equal(pictures, tmp_path):
    """The GAN stands for the plain recipe too, whose wrapper is the one that every other paper has."""
    config = degrading_gan(tmp_path, pictures)
    config.default_hooks.checkpoint.interval = 20
    assert_mim_two_ranks_train("hat", config, tmp_path, iterations=20)
    saved = load(tmp_path / "run" / "iter_20.pth")
    assert saved["meta"]["model"]["generator"]["embed_dim"] == 12
    assert {key.split(".")[0] for key in saved["state_dict"]} == {"generator", "discriminator"}
    assert not [key for key in saved["state_dict"] if ".module." in key]


@pytest.mark.parametrize("part", ["generator.conv_last.bias", "discriminator.conv9.bias"])
def test_a_bad_gradient_of_either_part_of_a_gan_stops_before_its_step(tmp_path, part):
    runner = Runner.from_cfg(gan(tmp_path))
    runner.model.get_parameter(part).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=rf"iteration 1: the gradient of '{part}' is not finite"):
        runner.train()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())


def test_both_rates_of_a_gan_are_scaled_once_and_each_optimizer_may_have_its_schedule(tmp_path):
    config = gan(tmp_path, train_cfg__max_iters=4)
    config.auto_scale_lr = dict(enable=True, base_batch_size=2)
    said = configuration.scale_learning_rate(config, processes=1)
    assert "from 0.0001, 0.0001 to 0.0002, 0.0002" in said
    config.param_scheduler = dict(
        generator=dict(type="MultiStepLR", by_epoch=False, milestones=[1], gamma=0.5),
        discriminator=[dict(type="MultiStepLR", by_epoch=False, milestones=[2, 3], gamma=0.1)],
    )
    runner = Runner.from_cfg(config)
    runner.train()
    rates = {name: groups[0]["lr"] for name, groups in runner.optim_wrapper.param_groups.items()}
    assert rates == {"generator": pytest.approx(1e-4), "discriminator": pytest.approx(2e-6)}


def test_training_and_enlarging_with_the_template_for_own_pictures(pictures, tmp_path):
    text = papers.find_config("hat", "hat_own-pictures").read_text(encoding="utf-8")
    answers = {
        'gt="data/my_pictures/train"': f"gt={str(pictures)!r}",
        '"data/my_pictures/val"': repr(str(pictures)),
        "scale = 4  #": "scale = 2  #",
        "width, groups = 180, 6": "width, groups = 36, 1",
        "max_iters = 50_000": "max_iters = 1",
        "batch_size = 4": "batch_size = 1",
        "gt_patch_size=64 * scale": "gt_patch_size=16 * scale",
    }
    for old, new in answers.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    config = Config.fromfile(path)
    config.work_dir, config.log_level, config.experiment_name = str(tmp_path / "work"), "ERROR", "own"
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.val_dataloader.update(num_workers=0, persistent_workers=False)
    model = Runner.from_cfg(config).train()
    assert settings_of(model)["embed_dim"] == 36
    best = next((tmp_path / "work").glob("best_psnr_iter_1.pth"))
    picture = next(pictures.glob("*.png"))
    HATInferencer(path, best, device="cpu")(str(picture), out_dir=str(tmp_path / "larger"))
    assert list((tmp_path / "larger").iterdir())


def test_the_recipes_are_the_official_ones():
    config = Config.fromfile(papers.find_config("hat", PLAIN))
    adam = dict(type="Adam", betas=(0.9, 0.99), eps=1e-8, weight_decay=0)
    assert dict(config.optim_wrapper.optimizer) == adam | dict(lr=2e-4)
    assert (config.train_cfg.max_iters, config.train_cfg.val_interval) == (500_000, 5000)
    assert config.param_scheduler.milestones == [250_000, 400_000, 450_000, 475_000]
    assert hook(config, EMA).momentum == 0.001
    gan_config = Config.fromfile(papers.find_config("hat", GAN))
    for part in ("generator", "discriminator"):
        assert dict(gan_config.optim_wrapper[part].optimizer) == adam | dict(lr=1e-4)
    for each in (config, gan_config):
        assert each.train_dataloader.batch_size * 8 == each.auto_scale_lr.base_batch_size == 32
