"""Training and testing with the recipes of the configs, on generated streets and small detectors."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from mm_monodino_detr.checkpoint import to_official
from mm_monodino_detr.evaluation.kitti_files import read_objects
from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mmrepro import papers
from mmrepro.engine import configuration
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.engine.errors import NonFiniteError
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, tiny
from mmrepro.testing.distributed import assert_mim_two_ranks_train
from mmrepro.testing.mean_gradients import assert_two_ranks_average_to_one, first_step, gradients
from mmrepro.testing.resume import assert_resume_bit_equal

DAB = "monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-car"
NO_DAB = "monodino-detr_dinov2-vitb-dav2_no-dab_4xb8-195e_kitti-car"
THREE = "monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-3class"
RACING = "monodino-detr_dinov2-vitb-dav2_160bins-120m_racing"
TEMPLATE = "monodino-detr_own-kitti"
SCENES = "monodino-detr_vit-c48_1xb4_scenes"
AP = "kitti/Car_AP3D_R40_moderate_loose"
FROZEN = ("backbone.", "depth_head.")
NUMBER = itertools.count()


def small(name: str, work_dir: Path, **changes) -> Config:
    """Return the tiny version of a config, narrowed further, with dotted keys changed (``__`` for ``.``)."""
    config = quiet(tiny(load_config(papers.find_config("monodino_detr", name))), work_dir)
    layers = dict(embed_dims=64, num_heads=4, feedforward_channels=64)
    narrow = {f"model.{part}": layers for part in ("encoder", "decoder", "depth_predictor")}
    # more channels than groups: else no bias before a norm has a gradient but rounding's
    config.merge_from_dict({**narrow, "model.neck.out_channels": 64, "model.neck.num_groups": 8})
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def quiet(config: Config, work_dir: Path) -> Config:
    config.pop("tiny", None)
    config = Config(config.to_dict(), format_python_code=False)  # each of the many times that a runner writes it down
    config.work_dir, config.log_level = str(work_dir), "ERROR"
    config.experiment_name = f"small_{next(NUMBER)}"  # mmengine keeps one logger per name
    return config


def short(config: Config, iterations: int) -> Config:
    """Train a number of iterations, without validation."""
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=iterations)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    config.default_hooks.logger.interval = 1
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    return config


def trainable(work_dir: Path, **changes) -> Config:
    """Return the quickstart's config, where nothing is frozen, narrowed to a few seconds of training."""
    config = quiet(copy.deepcopy(load_config(papers.find_config("monodino_detr", SCENES))), work_dir)
    layers = dict(num_layers=1, embed_dims=32, num_heads=4, feedforward_channels=64, dropout=0.0)
    config.merge_from_dict(
        {
            "model.target_size": (56, 182),
            "model.backbone.img_size": 56,
            "model.backbone.arch": dict(embed_dims=32, depth=4, num_heads=2, out_indices=(0, 1, 2, 3)),
            "model.depth_head.arch": dict(embed_dims=32, features=8, out_channels=(8, 8, 16, 16)),
            "model.neck": dict(in_channels=32, mid_channels=(32, 32), out_channels=32),
            "model.depth_predictor": dict(embed_dims=32, num_heads=4, feedforward_channels=32),
            "model.encoder": layers,
            "model.decoder": dict(layers, num_layers=2),
            "model.num_queries": 8,
            "model.group_num": 4,
            "model.bbox_head.test_cfg.max_per_img": 8,
            "train_dataloader.dataset.generate.count": 8,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
    )
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == "KittiFlipCropAffine":
            step.update(flip_prob=0.0, crop_prob=0.0)
    return config


def learner(work_dir: Path) -> Config:
    """Return a config that learns four frames by heart, on which it is tested as well."""
    steps, drawn = 80, dict(count=4, size=(320, 96), seed=7, val=4, classes=("Car",))
    config = trainable(work_dir, optim_wrapper__optimizer__lr=6e-3)
    for part in ("train", "val", "test"):
        config[f"{part}_dataloader"].dataset.update(generate=drawn, ann_file="ImageSets/val.txt")
    config.test_evaluator = config.val_evaluator
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=steps, val_interval=steps)
    config.param_scheduler = [
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
        dict(type="CosineAnnealingLR", T_max=steps, by_epoch=False, eta_min=1e-5),
    ]
    config.default_hooks.checkpoint.update(by_epoch=False, interval=steps, save_best=None)
    config.default_hooks.logger.interval = 2
    config.log_processor = dict(by_epoch=False)
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type != "LoadBestHook"]
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Path, list[float]]:
    """A training of a few seconds: its config, its checkpoint and the logged losses."""
    config = learner(tmp_path_factory.mktemp("trained"))
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    losses = runner.message_hub.log_scalars["train/loss"].data[0]
    return config, Path(config.work_dir) / "iter_80.pth", list(losses)


def compared(gradient: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Return the cosine of two models' gradients and the ratio of their lengths."""
    one, two = (torch.cat([found[key].flatten().double() for key in sorted(found)]) for found in (gradient, other))
    assert not torch.equal(one, two)
    return torch.cosine_similarity(one, two, dim=0).item(), (two.norm() / one.norm()).item()


def distances(config: Config, checkpoint: Path | None = None) -> list[float]:
    """Return for each labelled object how far the nearest detected one is, in metres."""
    config = copy.deepcopy(config)
    config.load_from, config.experiment_name = checkpoint and str(checkpoint), f"tested_{next(NUMBER)}"
    runner = Runner.from_cfg(config)
    runner.load_or_resume()
    runner.model.eval()
    found = []
    for batch in runner.test_dataloader:
        for sample in runner.model.test_step(batch):
            places = torch.as_tensor(sample.pred_instances.bboxes_3d)[:, 3:6]
            wanted = torch.as_tensor(read_objects(sample.label_path).locations)
            found += torch.cdist(wanted.to(places), torch.cat([places, places.new_full((1, 3), 1e6)])).amin(1).tolist()
    return found


def test_the_loss_falls_and_objects_are_found_where_they_are(trained):
    config, checkpoint, losses = trained
    assert sum(losses[-3:]) < 0.4 * sum(losses[:3])
    apart = distances(config, checkpoint)
    assert sum(one < 1 for one in apart) >= 6  # of ten, one of which is DontCare and one cut too much to be taught
    assert min(distances(config)) > 1
    assert load(checkpoint)["meta"]["dataset_meta"]["classes"][1] == "Car"


def test_the_tool_tests_our_files_and_official_ones_alike(trained, tmp_path):
    trained[0].dump(tmp_path / "config.py")
    torch.save({"model_state": to_official(load(trained[1])["state_dict"])}, tmp_path / "official.pth")
    results = []
    for checkpoint in (trained[1], tmp_path / "official.pth"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "work"]
        options = ["--cfg-options", f"experiment_name=tested_{next(NUMBER)}"]
        test_tool.main("monodino_detr", [*(str(argument) for argument in arguments), *options])
        results.append(json.loads(out.read_text()))
    assert results[0]["kitti/Car_APBEV_R11_easy_loose"] > 0
    assert results[0] == results[1]


# ----------------------------------------------------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("name", [DAB, NO_DAB, THREE, RACING, TEMPLATE])
def test_every_weight_that_is_not_frozen_is_trained(tmp_path, name):
    model, losses = first_step(small(name, tmp_path))
    assert all(loss.isfinite() for loss in losses.values())
    for key, weight in model.named_parameters():
        assert weight.requires_grad is not key.startswith(FROZEN), key
        assert (weight.grad is not None) is weight.requires_grad, key
        assert weight.grad is None or weight.grad.isfinite().all(), key


def test_layers_computed_again_change_nothing(tmp_path):
    """With dropout, which is drawn again, and the ViT, too, where it is trained."""
    results = []
    for again in (False, True):
        config = trainable(tmp_path, model__encoder__dropout=0.1, model__decoder__dropout=0.1)
        config.model.backbone.with_cp = config.model.encoder.with_cp = config.model.decoder.with_cp = again
        model, losses = first_step(config)
        found = [weight.grad for weight in model.parameters() if weight.requires_grad]
        results.append([*losses.values(), *found])
    assert len(results[0]) > 200
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


# ----------------------------------------------------------------------------------------------------------------------
# Precision


def test_amp_trains_in_bfloat16_near_float32_with_losses_in_float32(tmp_path, monkeypatch):
    config = short(small(DAB, tmp_path), 1)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config.load_from = str(tmp_path / "beginning.pth")
    torch.save({"state_dict": before}, config.load_from)
    config.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3))  # a step is the gradient
    config.param_scheduler = None
    config.dump(tmp_path / "config.py")
    losses, found, steps = MonoDETRCriterion._losses, {}, []
    for mode, options in (("float32", []), ("bfloat16", ["--amp"])):

        def noted(self, predictions, *args, mode=mode):
            computed = losses(self, predictions, *args)
            found[mode] = (
                {predictions.depth_map_logits.dtype},
                {predictions.boxes.dtype, predictions.logits.dtype, *(one.dtype for one in computed.values())},
            )
            return computed

        monkeypatch.setattr(MonoDETRCriterion, "_losses", noted)
        options = [*options, "--cfg-options", f"experiment_name={mode}_{next(NUMBER)}"]
        train_tool.main("monodino_detr", [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / mode), *options])
        after = load(tmp_path / mode / "iter_1.pth")["state_dict"]
        steps.append({key: after[key] - value for key, value in before.items() if value.is_floating_point()})
    assert found["float32"] == ({torch.float32}, {torch.float32})
    assert found["bfloat16"] == ({torch.bfloat16}, {torch.float32})
    cosine, ratio = compared(*steps)
    assert cosine > 0.95
    assert 0.9 < ratio < 1.1


@pytest.mark.parametrize("part", ["all", "frozen"])
def test_gradients_in_bfloat16_are_those_of_float32(tmp_path, part):
    """Of learnt positions, which no box refines before the first layer; and of the frozen parts' own option."""
    config = small(NO_DAB, tmp_path)
    plain = gradients(copy.deepcopy(config))
    if part == "frozen":
        config.model.backbone.bf16 = config.model.depth_head.bf16 = True
    with torch.autocast("cpu", torch.bfloat16, enabled=part == "all"):
        rounded = gradients(config)
    cosine, ratio = compared(plain, rounded)
    assert cosine > 0.95
    assert 0.9 < ratio < 1.1


# ----------------------------------------------------------------------------------------------------------------------
# Going on


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """With workers, which read and augment the frames, and with dropout."""
    config = small(DAB, tmp_path, model__decoder__dropout=0.1, model__depth_predictor__dropout=0.1)
    pipeline = config.train_dataloader.dataset.pipeline
    next(step for step in pipeline if step.type == "KittiFlipCropAffine").update(flip_prob=0.5, crop_prob=0.5)
    pipeline.insert(2, dict(type="KittiPhotometricDistort"))
    assert_resume_bit_equal(config, tmp_path, kill_at=[5], num_workers=(2,), checkpoint_every=2)


def test_learnt_positions_go_on_as_if_nothing_had_happened(tmp_path):
    config = small(NO_DAB, tmp_path)

    def train(steps: int, work_dir: Path, **changes) -> dict:
        again = short(copy.deepcopy(config), steps)
        again.work_dir, again.experiment_name = str(work_dir), f"again_{next(NUMBER)}"
        again.merge_from_dict(changes)
        Runner.from_cfg(again).train()
        return load(work_dir / f"iter_{steps}.pth")

    whole = train(2, tmp_path / "whole")
    train(1, tmp_path / "parts")
    parts = train(2, tmp_path / "parts", resume=True)
    for key, value in whole["state_dict"].items():
        assert torch.equal(parts["state_dict"][key], value), key
    torch.testing.assert_close(parts["optimizer"]["state"], whole["optimizer"]["state"], rtol=0, atol=0)


def test_the_template_trains_tests_its_best_and_goes_on(tmp_path):
    def config(**changes) -> Config:
        return small(TEMPLATE, tmp_path, **(dict(train_cfg__max_epochs=1) | changes))

    runner = Runner.from_cfg(config())
    runner.train()
    best = next(tmp_path.glob("best_*.pth"))
    scores = Runner.from_cfg(config(load_from=str(best))).test()
    assert scores[AP] == runner.message_hub.log_scalars[f"val/{AP}"].data[0][-1]
    going_on = Runner.from_cfg(config(train_cfg__max_epochs=2, resume=True))
    going_on.train()
    assert going_on.epoch == 2


# ----------------------------------------------------------------------------------------------------------------------
# Two processes


def frames(config: Config, batch: int, **generate) -> Config:
    """Return a config whose first batch is the frames of some seeds."""
    config.train_dataloader.batch_size = batch
    config.train_dataloader.dataset.generate = dict(size=(320, 96), objects=3, classes=("Car",), val=0, **generate)
    return config


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    """Frames 10 and 11, of which the second has no object; and each frame twice, for each process has a scale of sizes.

    Officially the loss of sizes is scaled by means of a process's own, so it takes part in the second alone.
    """
    found = {
        "dab": frames(small(DAB, tmp_path, model__bbox_head__criterion=dict(dim_weight=0.0)), 2, count=2, seed=10),
        "no-dab": frames(small(NO_DAB, tmp_path), 4, count=1, seed=0),
    }
    dataset = found["no-dab"].train_dataloader.dataset
    pairs = [dict(dataset, generate=dict(dataset.generate, seed=seed)) for seed in (0, 0, 7, 7)]
    found["no-dab"].train_dataloader.dataset = dict(type="ConcatDataset", datasets=pairs)
    assert_two_ranks_average_to_one(found, tmp_path, dtype=torch.float64)  # biases of keys have no gradient but noise


def test_mim_trains_with_two_processes_that_stay_equal(tmp_path):
    config = small(DAB, tmp_path, default_hooks__checkpoint__interval=100)
    assert_mim_two_ranks_train("monodino_detr", config, tmp_path, iterations=10)


# ----------------------------------------------------------------------------------------------------------------------
# What may go wrong


@pytest.mark.parametrize("name", [DAB, NO_DAB])
def test_batches_of_one_train_with_and_without_objects(tmp_path, name):
    """Frames 10 and 11, of which the second has none."""
    config = frames(short(small(name, tmp_path), 2), 1, count=2, seed=10)
    config.train_dataloader.sampler.shuffle = False
    runner = Runner.from_cfg(config)
    model = runner.train()
    assert all(weight.isfinite().all() for weight in model.parameters())
    logged = {key: values.data[0] for key, values in runner.message_hub.log_scalars.items() if "loss_" in key}
    assert all(values[0] != 0 for values in logged.values())
    none = {key.removeprefix("train/").removeprefix("d0.loss_") for key, values in logged.items() if values[1] == 0}
    assert none >= {"bbox", "iou", "center", "depth", "dim", "angle"}
    assert not any("cls" in key or "map" in key for key in none)


@pytest.mark.parametrize("part", ["queries.refpoint_embed.weight", "depth_predictor.depth_classifier.bias"])
def test_a_bad_gradient_stops_before_its_step(tmp_path, part):
    runner = Runner.from_cfg(small(DAB, tmp_path))
    runner.model.get_parameter(part).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=rf"iteration 1: the gradient of '{part}' is not finite"):
        runner.train()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())


@pytest.mark.parametrize("part", ["neck", "depth_predictor.depth_head", "decoder.layers.1"])
def test_predictions_that_are_not_finite_say_what_to_do(tmp_path, part):
    def spoil(_module, _inputs, output):
        return tuple(one * torch.nan for one in output) if isinstance(output, tuple) else output * torch.nan

    runner = Runner.from_cfg(small(DAB, tmp_path))
    runner.model.get_submodule(part).register_forward_hook(spoil)
    with pytest.raises(ValueError, match=r"image 0 of the batch cannot be matched: .* lower lr, clip gradients"):
        runner.train()


def test_the_learning_rate_is_scaled_for_all_groups(tmp_path):
    config = small(DAB, tmp_path, train_dataloader__batch_size=4)
    config.auto_scale_lr.enable = True
    said = configuration.scale_learning_rate(config, processes=2)
    assert "from 0.0002 to 5e-05, since 2 process(es) x 4 samples = a batch of 8, and it is meant for 32" in said
    groups = Runner.from_cfg(config).build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([5e-5] * len(groups))
