"""Training and testing with the recipes of the configs, on generated pictures and small networks."""

import copy
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mm_vit_comer.checkpoint import to_official
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.dense import level_attention
from mmrepro.dense.plain_vit import Block
from mmrepro.engine import configuration
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.engine.errors import NonFiniteError
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, tiny
from mmrepro.testing.children import finish, free_port, start
from mmrepro.testing.distributed import assert_mim_two_ranks_train, gradient_errors
from mmrepro.testing.resume import assert_resume_bit_equal, differences, final_state

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
try:
    from two_processes import all_gradients, first_step, gradients
finally:
    sys.path.remove(str(HERE))

MASK_RCNN = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco"
BASELINE = "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco"
CANCELLED = "backbone.up1.0.bias"  # of the baseline
CO_DETR = "co-dino-5scale_vit-comer-l_sfp_16xb1-16e_coco"
UPERNET = "vit-comer-s_deit_upernet_8xb2-amp-160k_ade20k-512x512"
MASK2FORMER = "vit-comer-l_beitv2_mask2former_8xb2-80k_coco-stuff164k-896x896"
NETWORKS = (MASK_RCNN, BASELINE, CO_DETR, UPERNET, MASK2FORMER)  # every variant and trunk of the backbone
OWN = {
    "mask-rcnn_vit-comer_own-coco": ("fc_cls", "fc_reg", "conv_logits"),
    "upernet_vit-comer_own-folders": ("conv_seg",),
}
GROUP_NORM = dict(type="GN", num_groups=4)
NUMBER = itertools.count()


def small(name: str, work_dir: Path, **changes) -> Config:
    """Return the tiny version of a config with dotted keys changed (``__`` for ``.``)."""
    return quiet(tiny(load_config(papers.find_config("vit_comer", name))), work_dir, **changes)


def quiet(config: Config, work_dir: Path, **changes) -> Config:
    config.pop("tiny")  # the runner writes a config down many times
    config.work_dir, config.log_level = str(work_dir), "ERROR"
    config.experiment_name = f"small_{next(NUMBER)}"  # mmengine keeps one logger per name
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def short(config: Config, iterations: int) -> Config:
    """Train a number of iterations, without validation."""
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=iterations)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    return config


# ----------------------------------------------------------------------------------------------------------------------
# A training of a few seconds

LEARNERS = {"detection": "mask-rcnn_vit-comer-c64_1xb4_shapes", "segmentation": "vit-comer_c64_upernet_1xb4-400_shapes"}
METRICS = {"detection": "coco/segm_mAP", "segmentation": "mIoU"}
# of the network as it begins, at most, and after the training, at least
WORTH = {"detection": (0.02, 0.15), "segmentation": (5, 30)}
PICTURES = {"detection": 2, "segmentation": 4}
STEPS = {"detection": 40, "segmentation": 60}
RATES = {"detection": (3e-3, 1e-4), "segmentation": (2e-3, 0.0)}


def learner(kind: str, work_dir: Path) -> Config:
    """Return a config of generated pictures for a few small ones in one batch, which it is tested on as well."""
    config = copy.deepcopy(load_config(papers.find_config("vit_comer", LEARNERS[kind])))
    count, steps, (rate, last) = PICTURES[kind], STEPS[kind], RATES[kind]
    drawn, changes = dict(count=count, size=64), {"train_dataloader.batch_size": count}
    for part in ("train", "val", "test"):
        dataset = config[f"{part}_dataloader"].dataset
        dataset.generate = drawn
        dataset.pipeline = [step for step in dataset.pipeline if step.type not in ("RandomFlip", "Resize")]
    if kind == "detection":
        resize = dict(type="Resize", scale=(64, 64), keep_ratio=True)
        for part in ("val", "test"):
            config[f"{part}_dataloader"].dataset.pipeline.insert(2, resize)
        config.val_evaluator.generate = drawn
        changes |= {"model.backbone.extra_num": 1, "model.train_cfg.rpn_proposal.max_per_img": 40}
        changes["model.train_cfg.rcnn.sampler.num"] = 32
    else:
        changes["model.data_preprocessor.size"] = (64, 64)
    config.test_evaluator = config.val_evaluator
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=steps, val_interval=steps)
    config.optim_wrapper.optimizer.lr = rate
    warm_up = dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=6)
    config.param_scheduler = [warm_up, dict(type="PolyLR", eta_min=last, by_epoch=False, begin=0, end=steps + 1)]
    config.default_hooks.checkpoint.update(by_epoch=False, interval=steps)
    config.default_hooks.logger.interval = 2
    config.log_processor = dict(by_epoch=False)
    return quiet(config, work_dir, **changes)


@pytest.fixture(scope="module", params=LEARNERS)
def trained(request, tmp_path_factory) -> tuple[str, Config, Path, list[float]]:
    """What was trained, its config, its best checkpoint and the logged losses."""
    config = learner(request.param, tmp_path_factory.mktemp("trained"))
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    losses = runner.message_hub.log_scalars["train/loss"].data[0]
    return request.param, config, next(Path(config.work_dir).glob("best_*.pth")), list(losses)


@pytest.fixture
def official(trained, tmp_path) -> Path:
    """The same weights as an official file."""
    path = tmp_path / "official.pth"
    torch.save({"state_dict": to_official(load(trained[2])["state_dict"])}, path)
    return path


def test_the_loss_falls_and_the_metric_rises(trained, tmp_path):
    kind, _, best, losses = trained
    least, most = WORTH[kind]
    assert sum(losses[-3:]) < 0.4 * sum(losses[:3])
    assert Runner.from_cfg(learner(kind, tmp_path)).test()[METRICS[kind]] < least
    checkpoint = load(best)
    assert checkpoint["message_hub"]["log_scalars"][f"val/{METRICS[kind]}"].data[0][-1] > most
    assert "disc" in checkpoint["meta"]["dataset_meta"]["classes"]


def test_the_tool_tests_official_files_and_converted_ones(trained, official, tmp_path):
    kind, config, best, _ = trained
    config.dump(tmp_path / "config.py")
    convert_file("vit_comer", official, tmp_path / "ours.safetensors")
    results = []
    for checkpoint in (best, official, tmp_path / "ours.safetensors"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "work"]
        options = ["--cfg-options", f"experiment_name=tested_{next(NUMBER)}"]
        test_tool.main("vit_comer", [*(str(argument) for argument in arguments), *options])
        results.append(json.loads(out.read_text()))
    assert results[0][METRICS[kind]] > WORTH[kind][1]
    assert results[0] == results[1] == results[2]


def test_training_goes_on_from_an_official_file(trained, official, tmp_path):
    kind, _, best, _ = trained
    config = short(learner(kind, tmp_path), 1)
    config.load_from, config.optim_wrapper.optimizer.lr = str(official), 0.0
    model, expected = Runner.from_cfg(config).train(), load(best)["state_dict"]
    for key, value in model.named_parameters():
        assert torch.equal(value, expected[key]), key


def test_amp_trains_in_bfloat16_near_float32(trained, tmp_path, monkeypatch):
    """Where values are sampled, their weights and sums, and what all blocks add to, stay in float32.

    Of a detector both precisions get the same proposals and a loss of boxes without the kink of L1: rounding chooses
    other proposals and turns signs, and what that moves is no loss of precision.
    """
    kind, _, best, _ = trained
    config = short(learner(kind, tmp_path), 1)
    config.load_from = str(best)
    config.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3))  # a step is the gradient
    config.param_scheduler = None
    if kind == "detection":
        config.model.train_cfg.rcnn.sampler.num = 512  # all proposals: others would be drawn in either precision
        for head in (config.model.rpn_head, config.model.roi_head.bbox_head):
            head.loss_bbox = dict(type="SmoothL1Loss", beta=1.0)
        monkeypatch.setattr(RPNHead, "loss_and_predict", same_proposals(RPNHead.loss_and_predict))
    else:
        config.model.decode_head.dropout_ratio = config.model.auxiliary_head.dropout_ratio = 0.0
    config.dump(tmp_path / "config.py")
    operator, block = level_attention.ms_deform_attn, Block.forward
    states, found = [load(best)["state_dict"]], {}
    for mode, options in (("float32", []), ("bfloat16", ["--amp"])):
        noted = found[mode] = {"autocast": set(), "located": set(), "sums": set(), "tokens": set()}

        def attend(value, shapes, starts, locations, weights, noted=noted):
            noted["autocast"].add(torch.is_autocast_enabled("cpu"))
            noted["located"] |= {locations.dtype, weights.dtype}
            result = operator(value, shapes, starts, locations, weights)
            exact = operator(value.float(), shapes, starts, locations, weights.float())
            noted["sums"].add(torch.equal(result, exact.to(result.dtype)))  # rounded once
            return result

        def run(self, tokens, height, width, noted=noted):
            result = block(self, tokens, height, width)
            noted["tokens"] |= {tokens.dtype, result.dtype}
            return result

        monkeypatch.setattr(level_attention, "ms_deform_attn", attend)
        monkeypatch.setattr(Block, "forward", run)
        options = [*options, "--cfg-options", f"experiment_name={mode}_{next(NUMBER)}"]
        train_tool.main("vit_comer", [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / mode), *options])
        states.append(load(tmp_path / mode / "iter_1.pth")["state_dict"])
    for mode, noted in found.items():
        stays = {"located": {torch.float32}, "sums": {True}, "tokens": {torch.float32}}
        assert noted == {"autocast": {mode == "bfloat16"}, **stays}
    keys = [key for key, value in states[0].items() if value.is_floating_point() and "running" not in key]
    before, one, other = (torch.cat([state[key].double().flatten() for key in keys]) for state in states)
    one, other = one - before, other - before
    assert not torch.equal(one, other)
    # Three seeds: 0.9966 to 0.9982 for detection, 1.007 to 1.011 times as long; over 0.9999 for segmentation, where the
    # heads' gradients are much the longest. With the proposals and the L1 loss of each precision: 0.96 to 0.98.
    assert torch.cosine_similarity(one, other, dim=0) > 0.99
    assert 0.9 < other.norm() / one.norm() < 1.1


def same_proposals(loss_and_predict: Callable) -> Callable:
    """Return mmdet's method of the first stage with the proposals of its first call in all later ones."""
    first = []

    def replaced(*args, **kwargs):
        losses, proposals = loss_and_predict(*args, **kwargs)
        first[:] = first or [proposals]
        return losses, copy.deepcopy(first[0])  # the second stage writes into them

    return replaced


def test_a_backbone_under_amp_has_the_gradients_of_float32(trained, tmp_path):
    """Of any reader: under one drawn weight for each number of its maps."""
    kind, _, best, _ = trained
    runner = Runner.from_cfg(learner(kind, tmp_path))
    runner.model.load_state_dict(load(best)["state_dict"])
    batch = runner.model.data_preprocessor(next(iter(runner.train_dataloader)), training=True)
    backbone, found = runner.model.backbone.train(), []
    for half in (False, True):
        backbone.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            maps = backbone(batch["inputs"])
        draw = torch.Generator().manual_seed(0)
        torch.autograd.backward(maps, [torch.randn(one.shape, generator=draw) for one in maps])
        named = backbone.named_parameters()
        # the last norms' own gradients are nearly exact, and large enough to hide those of everything before them
        inner = [one.grad.double().flatten() for name, one in named if not re.match(r"norm[1-4]\.", name)]
        found.append(torch.cat(inner))
    # 0.9991 for detection and 0.9993 for segmentation; a plain transcription loses as much. Before training 0.978 to
    # 0.999, for both: batch norm over 8 values (two maps of 2 x 2) enlarges the rounding.
    assert torch.cosine_similarity(*found, dim=0) > 0.995
    assert found[1].norm() / found[0].norm() == pytest.approx(1, abs=0.02)


# ----------------------------------------------------------------------------------------------------------------------
# Resuming


def drawing(name: str, work_dir: Path, *steps: dict, **changes) -> Config:
    """Return a small config in which pictures, blocks and heads are drawn for: flips, ``steps`` and drop path."""
    config = small(name, work_dir, model__backbone__drop_path_rate=0.3, **changes)
    pipeline = config.train_dataloader.dataset.pipeline
    pipeline[-1:-1] = [dict(type="RandomFlip", prob=0.5), *steps]
    return config


def test_a_killed_detector_goes_on_as_if_nothing_had_happened(tmp_path):
    """With workers, which read and augment the pictures."""
    config = drawing(MASK_RCNN, tmp_path)
    assert_resume_bit_equal(config, tmp_path, kill_at=[5], num_workers=(2,), checkpoint_every=2)


class Cut(Exception):
    """What ends a training early."""


@HOOKS.register_module()
class CutHook(Hook):
    """Ends a training before an iteration.

    Args:
        iteration: its number.
    """

    def __init__(self, iteration: int):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise Cut


def test_a_segmentor_that_was_cut_short_goes_on_as_if_nothing_had_happened(tmp_path):
    """In this process, since importing mmdet and mmsegmentation three times takes longer than all else here."""
    config = drawing(UPERNET, tmp_path, dict(type="PhotoMetricDistortion"))
    config.dump(tmp_path / "whole.py")
    config.custom_hooks.append(dict(type="CutHook", iteration=3))
    config.dump(tmp_path / "cut.py")

    def train(name: str, run: str, *options: str) -> None:
        arguments = [str(tmp_path / f"{name}.py"), "--work-dir", str(tmp_path / run), *options]
        experiment = f"experiment_name={run}_{next(NUMBER)}"
        train_tool.main("vit_comer", [*arguments, "--cfg-options", experiment])

    train("whole", "left_alone")
    with pytest.raises(Cut):
        train("cut", "resumed")
    train("whole", "resumed", "--resume")
    assert differences(final_state(tmp_path / "left_alone"), final_state(tmp_path / "resumed")) == []


# ----------------------------------------------------------------------------------------------------------------------
# Two processes


SEEDS = {"mmdet": 3, "mmseg": 5}  # of pictures with 1, 3, 3 and 2 objects; with 1, 2, 2 and 1 classes of objects


def alike(name: str, work_dir: Path) -> Config:
    """Return a config whose losses are those of its pictures alone: no augmentation, dropout or noise.

    Batch norm takes its statistics from the pictures of one process, and ``SyncBN`` raises on the CPU: group norm here.
    A process has every second picture, of other numbers of objects than the other one's: what mmdet divides by must
    be the mean of both. What it does not average is equal here: the largest number of objects, by which Co-DETR makes
    denoising queries, samples, of which it counts at least one positive, and the classes that Mask2Former weighs.
    """
    changes = {"train_dataloader__batch_size": 4}
    if name != BASELINE:
        changes |= {"model__backbone__norm_cfg": GROUP_NORM, "model__backbone__mrfp_norm_cfg": GROUP_NORM}
    if name == UPERNET:
        for head in ("decode_head", "auxiliary_head"):
            changes |= {f"model__{head}__dropout_ratio": 0.0, f"model__{head}__norm_cfg": GROUP_NORM}
    if name == CO_DETR:
        # mmdet refuses 0, and what is so small changes no number
        changes |= {f"model__dn_cfg__{noise}_noise_scale": 1e-12 for noise in ("label", "box")}
        changes["model__max_positives"] = 10_000  # it draws where there are more
    config = small(name, work_dir, **changes)
    # Of each picture as many: mmdet divides by those of a process.
    samplers = (part.sampler for part in walk(config.model) if part.get("sampler", {}).get("type") == "RandomSampler")
    for sampler in samplers:
        sampler.update(num=16, pos_fraction=1 / 16)
    pipeline = config.train_dataloader.dataset.pipeline
    kept = [step for step in pipeline if step.type.startswith(("Load", "Pack"))]
    if config.default_scope == "mmdet":
        kept.insert(2, dict(type="Resize", scale=(64, 64), keep_ratio=False))
    config.train_dataloader.dataset.update(
        generate=dict(count=4, size=64, seed=SEEDS[config.default_scope]), pipeline=kept
    )
    return config


def walk(node):
    """Yield a configuration and all that is in it."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from walk(child)


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    """All networks at once, for most of the time goes into importing mmdet; this process is the first of the two."""
    for name in NETWORKS:
        alike(name, tmp_path).dump(tmp_path / f"{name}.py")
    port = free_port()
    child = start([sys.executable, str(HERE / "two_processes.py"), str(tmp_path), str(port)])
    try:
        expected = {name: gradients(Config.fromfile(tmp_path / f"{name}.py")) for name in NETWORKS}
        found = all_gradients(tmp_path, 0, port)
        finish(child)
    finally:
        child.kill()  # it waits for this process, which may have failed
    for name, one in expected.items():
        assert one.keys() == found[name].keys(), name
        errors = gradient_errors(one, found[name], floor=1e-4)
        if name == BASELINE:  # its group norm has a channel for each group here, which takes the bias away again
            largest = max(gradient.abs().max() for gradient in one.values())
            assert one[CANCELLED].abs().max() < 1e-4 * largest
            del errors[CANCELLED]
        assert {key: error for key, error in errors.items() if not error <= 1e-5} == {}, name


def test_mim_trains_with_two_processes_that_stay_equal(tmp_path):
    assert_mim_two_ranks_train("vit_comer", small(UPERNET, tmp_path), tmp_path, iterations=20)


# ----------------------------------------------------------------------------------------------------------------------
# Steps


@pytest.mark.parametrize("name", [MASK_RCNN, UPERNET, MASK2FORMER])
def test_activation_checkpointing_changes_no_loss_and_no_gradient(tmp_path, name):
    results = []
    for recompute in (False, True):
        config = small(name, tmp_path, model__backbone__drop_path_rate=0.3)
        config.model.backbone.update(with_cp=recompute, cti_with_cp=recompute)
        model, losses = first_step(config)
        results.append([*losses.values(), *(weight.grad for weight in model.parameters())])
    assert len(results[0]) > 100
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def one_at_a_time(name: str, work_dir: Path) -> Config:
    return short(small(name, work_dir, train_dataloader__batch_size=1), 1)


@pytest.mark.parametrize("name", [MASK_RCNN, UPERNET])
def test_a_batch_of_one_trains_with_group_norm(tmp_path, name):
    config = one_at_a_time(name, tmp_path)
    config.model.backbone.update(norm_cfg=GROUP_NORM, mrfp_norm_cfg=GROUP_NORM)
    for head in ("decode_head", "auxiliary_head"):
        if head in config.model:
            config.model[head].norm_cfg = GROUP_NORM
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    model = runner.train()
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert not torch.equal(model.backbone.patch_embed.proj.weight, before["backbone.patch_embed.proj.weight"])
    assert not any("running" in key for key, _ in model.backbone.named_buffers())


def test_a_batch_of_one_trains_a_detector_with_batch_norm(tmp_path):
    model = Runner.from_cfg(one_at_a_time(MASK_RCNN, tmp_path)).train()
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert model.backbone.interactions[0].mrfp.dwconv.bn1.num_batches_tracked == 1


def test_upernet_refuses_a_batch_of_one_with_batch_norm(tmp_path):
    """Its pyramid pools a picture to one pixel."""
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        Runner.from_cfg(one_at_a_time(UPERNET, tmp_path)).train()


@pytest.mark.parametrize("seed", [11, 10])
def test_mask_rcnn_trains_on_pictures_without_objects(tmp_path, seed):
    """Picture 11 has none: alone, and beside one that has."""
    config = short(small(MASK_RCNN, tmp_path, train_dataloader__batch_size=12 - seed), 1)
    data = dict(generate=dict(count=12 - seed, size=64, seed=seed), filter_cfg=dict(filter_empty_gt=False))
    config.train_dataloader.dataset.update(data)
    config.default_hooks.logger.interval = 1
    runner = Runner.from_cfg(config)
    model = runner.train()
    assert runner.iter == 1
    assert all(weight.isfinite().all() for weight in model.parameters())
    logged = {key: runner.message_hub.log_scalars[f"train/{key}"].data[0][-1] for key in ("loss_cls", "loss_mask")}
    assert logged["loss_cls"] > 0
    assert (logged["loss_mask"] > 0) == (seed == 10)


@pytest.mark.parametrize(
    ("name", "part"),
    [(MASK_RCNN, "backbone.interactions.0.cti_tov.gamma"), (UPERNET, "decode_head.conv_seg.weight")],
)
def test_a_bad_gradient_stops_before_its_step(tmp_path, name, part):
    runner = Runner.from_cfg(small(name, tmp_path))
    runner.model.get_parameter(part).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=rf"iteration 1: the gradient of '{part}' is not finite"):
        runner.train()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())


# ----------------------------------------------------------------------------------------------------------------------
# Learning rates


@pytest.mark.parametrize("name", [MASK_RCNN, UPERNET])
def test_the_learning_rate_is_scaled_for_all_groups(tmp_path, name):
    rates = []
    for enabled in (False, True):
        config = small(name, tmp_path, train_dataloader__batch_size=8, auto_scale_lr__enable=enabled)
        said = configuration.scale_learning_rate(config, processes=4)
        assert bool(said) == enabled
        runner = Runner.from_cfg(config)
        groups = runner.build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
        rates.append([group["lr"] for group in groups])
    before, after = map(np.array, rates)
    assert len(set(before)) == 6  # patches, four blocks, everything else
    np.testing.assert_allclose(after, 2 * before, rtol=1e-12)


@HOOKS.register_module()
class GroupRatesHook(Hook):
    """Keeps the rates of all groups, divided by those of the recipe's beginning, that the steps use."""

    def __init__(self):
        self.rates = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        groups = runner.optim_wrapper.optimizer.param_groups
        self.rates.append([group["lr"] / group["initial_lr"] for group in groups])


@pytest.mark.parametrize(("name", "case", "base"), [(MASK_RCNN, "det", 1e-4), (UPERNET, "seg", 6e-5)])
def test_a_training_begins_with_the_official_rates(tmp_path, name, case, base):
    """Of all groups, in the runner; all of the schedule is in the stored case, without it."""
    config = short(small(name, tmp_path, train_dataloader__batch_size=2), 3)
    config.custom_hooks = [dict(type="GroupRatesHook")]
    runner = Runner.from_cfg(config)
    runner.train()
    (kept,) = (hook.rates for hook in runner.hooks if isinstance(hook, GroupRatesHook))
    with np.load(HERE / "parity" / "lr_schedules.npz") as stored:
        steps = stored[f"input:{case}_iters"]
        wanted = stored[f"expected:{case}_1x_lr" if case == "det" else f"expected:{case}_lr"]
    early = steps < 3
    assert early.sum() == (2 if case == "det" else 3)
    for step, rate in zip(steps[early], wanted[early], strict=True):
        np.testing.assert_allclose(kept[step], rate / base, rtol=1e-6)


# ----------------------------------------------------------------------------------------------------------------------
# Fine-tuning


def template(name: str, work_dir: Path, start_from: Path | None) -> Config:
    """Return the tiny version of a user's copy of a template that starts from a file."""
    text = papers.find_config("vit_comer", name).read_text(encoding="utf-8")
    assert text.count("\nstart = None") == 1
    copied = work_dir / f"my_{next(NUMBER)}.py"
    copied.write_text(
        text.replace("\nstart = None", f"\nstart = {str(start_from)!r}" if start_from else "\nstart = None")
    )
    return quiet(tiny(Config.fromfile(copied)), work_dir)


def weights_of(config: Config, path: Path, classes: int) -> dict[str, torch.Tensor]:
    """Write an official file of a config's network with another number of classes, and return its weights."""
    for part in walk(config.model):
        if "num_classes" in part:
            part.num_classes = classes
    state = Runner.from_cfg(config).model.state_dict()
    state = {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in state.items()}
    torch.save({"state_dict": to_official(state)}, path)
    return state


@pytest.mark.parametrize("name", OWN)
def test_a_template_draws_anew_what_belongs_to_the_classes_and_loads_everything_else(tmp_path, name):
    published = weights_of(template(name, tmp_path, None), tmp_path / "published.pth", classes=7)
    config = template(name, tmp_path, tmp_path / "published.pth")
    assert config.load_from == str(tmp_path / "published.pth")
    runner = Runner.from_cfg(config)
    runner.load_or_resume()
    state = runner.model.state_dict()
    assert state.keys() == published.keys()
    anew = {key for key in state if any(word in key for word in OWN[name])}
    assert {key for key in state if not torch.equal(state[key], published[key])} == anew
    assert all(state[key].shape != published[key].shape for key in anew)


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("mask-rcnn_vit-comer_own-coco", UPERNET, r"for segmentation \(UPerNet, 7 classes\), the config .*Mask R-CNN"),
        ("upernet_vit-comer_own-folders", MASK_RCNN, r"for detection \(Mask R-CNN, 7 classes\), the config .*UPerNet"),
    ],
)
def test_a_template_refuses_a_file_of_another_variant_by_name(tmp_path, name, other, message):
    weights_of(small(other, tmp_path), tmp_path / "other.pth", classes=7)
    runner = Runner.from_cfg(template(name, tmp_path, tmp_path / "other.pth"))
    with pytest.raises(CheckpointMismatchError, match=message):
        runner.load_or_resume()
