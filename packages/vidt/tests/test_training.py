"""Training and testing with the recipes of the configs, on generated pictures and small detectors."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from mm_vidt.checkpoint import to_official
from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.matching import LevelsHungarianAssigner
from mmrepro import papers
from mmrepro.checkpoint import convert_file
from mmrepro.engine import configuration
from mmrepro.engine import test as test_tool
from mmrepro.engine import train as train_tool
from mmrepro.engine.errors import NonFiniteError
from mmrepro.safe_loading import load
from mmrepro.testing import load_config, tiny
from mmrepro.testing.distributed import assert_mim_two_ranks_train
from mmrepro.testing.mean_gradients import assert_two_ranks_average_to_one, first_step, gradients
from mmrepro.testing.resume import assert_resume_bit_equal

VIDT = "vidt_swin-nano_8xb2-50e_coco"
PLUS = "vidt-plus_swin-nano_300q_8xb2-50e_coco"
COAT = "vidt_coat-lite-tiny_8xb2-50e_coco"
NECK_FREE = "vidt-wo-neck_swin-nano_8xb2-50e_coco"
DISTILLED = "vidt_swin-nano_distill-swin-base_8xb2-50e_coco"
TEMPLATE = "vidt-plus_own-coco"
SHAPES = "vidt-plus_swin-c24_1xb4_shapes"
BOXES, MASKS = "coco/bbox_mAP", "coco/segm_mAP"
NUMBER = itertools.count()


def small(name: str, work_dir: Path, **changes) -> Config:
    """Return the tiny version of a config with dotted keys changed (``__`` for ``.``)."""
    return quiet(tiny(load_config(papers.find_config("vidt", name))), work_dir, **changes)


def quiet(config: Config, work_dir: Path, **changes) -> Config:
    config.pop("tiny")
    config = Config(config.to_dict(), format_python_code=False)  # each of the many times that a runner writes it down
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


def learner(work_dir: Path) -> Config:
    """Return the quickstart's config for four small pictures in one batch, which it is tested on as well."""
    steps, drawn = 120, dict(count=4, size=64)
    config = quiet(copy.deepcopy(load_config(papers.find_config("vidt", SHAPES))), work_dir)
    for part in ("train", "val", "test"):
        dataset = config[f"{part}_dataloader"].dataset
        dataset.generate = drawn
        dataset.pipeline = [step for step in dataset.pipeline if step.type != "RandomFlip"]
        next(step for step in dataset.pipeline if step.type == "ViDTResize").scale = 64
    config.val_evaluator.generate = drawn
    config.test_evaluator = config.val_evaluator
    config.train_dataloader.batch_size = drawn["count"]
    config.merge_from_dict(
        {
            "model.backbone.arch": dict(embed_dims=16, depths=(1, 2, 1, 2)),
            "model.backbone.num_det_tokens": 12,
            "model.neck.in_channels": [32, 64, 128, 64],
        }
    )
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=steps, val_interval=steps)
    config.param_scheduler = [dict(type="CosineAnnealingLR", T_max=steps, by_epoch=False, eta_min=1e-5)]
    config.default_hooks.checkpoint.update(by_epoch=False, interval=steps)
    config.default_hooks.logger.interval = 2
    config.log_processor = dict(by_epoch=False)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Path, list[float]]:
    """A training of a few seconds: its config, its best checkpoint and the logged losses."""
    config = learner(tmp_path_factory.mktemp("trained"))
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    losses = runner.message_hub.log_scalars["train/loss"].data[0]
    return config, next(Path(config.work_dir).glob("best_*.pth")), list(losses)


@pytest.fixture
def official(trained, tmp_path) -> Path:
    """The same weights as an official file."""
    path = tmp_path / "official.pth"
    torch.save({"model": to_official(load(trained[1])["state_dict"])}, path)
    return path


def test_the_loss_falls_and_ap_of_boxes_and_masks_rises_from_zero(trained, tmp_path):
    _, best, losses = trained
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])
    before = Runner.from_cfg(learner(tmp_path)).test()
    after = load(best)["message_hub"]["log_scalars"]
    for metric, gain in ((BOXES, 0.2), (MASKS, 0.1)):
        assert before[metric] < 0.02
        assert after[f"val/{metric}"].data[0][-1] > before[metric] + gain
    assert load(best)["meta"]["dataset_meta"]["classes"][1] == "disc"


def test_the_tool_tests_official_files_and_converted_ones(trained, official, tmp_path):
    trained[0].dump(tmp_path / "config.py")
    convert_file("vidt", official, tmp_path / "ours.safetensors")
    results = []
    for checkpoint in (trained[1], official, tmp_path / "ours.safetensors"):
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "config.py", checkpoint, "--out", out, "--work-dir", tmp_path / "work"]
        options = ["--cfg-options", f"experiment_name=tested_{next(NUMBER)}"]
        test_tool.main("vidt", [*(str(argument) for argument in arguments), *options])
        results.append(json.loads(out.read_text()))
    assert results[0][MASKS] > 0.1
    assert results[0] == results[1] == results[2]


def test_training_goes_on_from_an_official_file(trained, official, tmp_path):
    config = short(learner(tmp_path), 1)
    config.load_from, config.optim_wrapper.optimizer.lr = str(official), 0.0
    model, expected = Runner.from_cfg(config).train(), load(trained[1])["state_dict"]
    for key, value in model.named_parameters():
        assert torch.equal(value, expected[key]), key


def test_training_goes_on_with_fewer_layers_and_other_classes(trained, official, tmp_path):
    """The tuned detector's last layer is left out, and what belongs to classes is drawn anew."""
    config = short(learner(tmp_path), 1)
    config.load_from, config.optim_wrapper.optimizer.lr = str(official), 0.0
    config.model.decoder.num_layers = 1
    config.model.bbox_head.num_classes = 9
    config.custom_hooks[0].update(num_layers=1, new_classes=True)
    model, whole = Runner.from_cfg(config).train(), load(trained[1])["state_dict"]
    kept = {key for key, value in model.named_parameters() if torch.equal(value, whole[key])}
    anew = {key for key, _ in model.named_parameters()} - kept
    assert {key.split(".")[1] for key in anew} == {"cls_branches", "token_embed"}
    left = whole.keys() - {key for key, _ in model.named_parameters()}
    assert {".".join(key.split(".")[:3]) for key in left} == {
        "decoder.layers.1",
        "bbox_head.cls_branches.2",
        "bbox_head.reg_branches.2",
        "bbox_head.iou_branches.2",
    }


def test_amp_trains_in_bfloat16_near_float32_with_losses_in_float32(tmp_path, monkeypatch):
    """From the beginning: where boxes and masks are all but right, rounding turns the signs of their L1 losses."""
    config = short(learner(tmp_path), 1)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    states = [{key: value.clone() for key, value in model.state_dict().items()}]
    config.load_from = str(tmp_path / "beginning.pth")
    torch.save({"state_dict": states[0]}, config.load_from)
    config.optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3))  # a step is the gradient
    config.param_scheduler = None
    config.dump(tmp_path / "config.py")
    forward, found = ViDTCriterion.forward, {}
    for mode, options in (("float32", []), ("bfloat16", ["--amp"])):

        def noted(self, predictions, *args, mode=mode):
            losses = forward(self, predictions, *args)
            dtypes = {predictions.logits.dtype, predictions.boxes.dtype, *(loss.dtype for loss in losses.values())}
            found[mode] = (torch.is_autocast_enabled("cpu"), dtypes)
            return losses

        monkeypatch.setattr(ViDTCriterion, "forward", noted)
        options = [*options, "--cfg-options", f"experiment_name={mode}_{next(NUMBER)}"]
        train_tool.main("vidt", [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / mode), *options])
        states.append(load(tmp_path / mode / "iter_1.pth")["state_dict"])
    assert found == {"float32": (False, {torch.float32}), "bfloat16": (True, {torch.bfloat16, torch.float32})}
    keys = [key for key, value in states[0].items() if value.is_floating_point()]
    before, one, other = (torch.cat([state[key].double().flatten() for key in keys]) for state in states)
    one, other = one - before, other - before
    assert not torch.equal(one, other)
    assert torch.cosine_similarity(one, other, dim=0) > 0.95
    assert 0.9 < other.norm() / one.norm() < 1.1


@pytest.mark.parametrize("kind", ["trained", "coat", "neck-free", "distiller"])
def test_gradients_in_bfloat16_are_those_of_float32(request, tmp_path, monkeypatch, kind):
    """Of a detector that is trained, too, where the rounding of its points alone would turn them.

    Rounding decides which of two queries that are nearly as good is matched, and the sign of an error that is nearly
    zero, and on another processor otherwise: so both learn from the same pairs, of pictures that it was not trained on.
    """
    if kind == "trained":
        config, best, _ = request.getfixturevalue("trained")
        config = copy.deepcopy(config)
        config.model.init_cfg = dict(type="Pretrained", checkpoint=str(best))
        config.train_dataloader.dataset.generate = dict(count=8, size=64, seed=5)
        config.train_dataloader.batch_size = 8
    else:
        config = distiller(tmp_path) if kind == "distiller" else small(dict(coat=COAT).get(kind, NECK_FREE), tmp_path)
    match, pairs, both = LevelsHungarianAssigner.match, [], []

    def of_float32(self, *arguments):
        if not both:
            pairs.append(match(self, *arguments))
            return pairs[-1]
        return pairs.pop(0)

    monkeypatch.setattr(LevelsHungarianAssigner, "match", of_float32)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled):
            found = gradients(copy.deepcopy(config))
        both.append(torch.cat([found[key].flatten().double() for key in sorted(found)]))
    assert not pairs
    one, other = both
    assert not torch.equal(one, other)
    assert torch.cosine_similarity(one, other, dim=0) > 0.99
    assert 0.9 < other.norm() / one.norm() < 1.1


def dropping(name: str, work_dir: Path) -> Config:
    """Return a small config with stochastic depth and dropout."""
    return small(name, work_dir, model__backbone__arch__drop_path_rate=0.3, model__decoder__dropout=0.1)


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path):
    """With workers, which read and augment the pictures, and with dropout and stochastic depth."""
    config = dropping(PLUS, tmp_path)
    config.train_dataloader.dataset.pipeline.insert(-1, dict(type="RandomFlip", prob=0.5))
    config.train_dataloader.dataset.generate.count = 6  # so both the checkpoint and the kill are within an epoch
    for part in (config.val_dataloader.dataset, config.val_evaluator):
        part.generate.count = 2
    assert_resume_bit_equal(config, tmp_path, kill_at=[5], num_workers=(2,), checkpoint_every=2)


@pytest.mark.parametrize("kind", ["coat", "neck-free", "distiller"])
def test_other_kinds_go_on_as_if_nothing_had_happened(tmp_path, kind):
    """A distillation with its teacher, which is not in the checkpoint."""

    def train(steps: int, work_dir: Path, **changes) -> tuple[Runner, dict]:
        again = short(copy.deepcopy(config), steps)
        again.work_dir, again.experiment_name = str(work_dir), f"again_{next(NUMBER)}"
        again.default_hooks.logger.interval = 1
        again.merge_from_dict(changes)
        runner = Runner.from_cfg(again)
        runner.train()
        return runner, load(work_dir / f"iter_{steps}.pth")

    if kind == "distiller":
        config = distiller(tmp_path)
    else:
        config = small(dict(coat=COAT).get(kind, NECK_FREE), tmp_path)
    _, whole = train(2, tmp_path / "whole")
    train(1, tmp_path / "parts")
    resumed, parts = train(2, tmp_path / "parts", resume=True)
    losses = resumed.message_hub.log_scalars
    assert ("train/loss_distil" in losses) == (kind == "distiller")
    for key, value in whole["state_dict"].items():
        assert torch.equal(parts["state_dict"][key], value), key
    torch.testing.assert_close(parts["optimizer"]["state"], whole["optimizer"]["state"], rtol=0, atol=0)


# ----------------------------------------------------------------------------------------------------------------------
# A data set of one's own


def test_the_template_for_boxes_alone_trains_tests_its_best_and_goes_on(tmp_path):
    """With overlaps, which are left of the heads of ViDT+: a file that has all of them starts it."""
    template = papers.find_config("vidt", TEMPLATE)
    copied = tmp_path / "boxes.py"
    text = Path(template).read_text(encoding="utf-8")
    assert text.count("\nmasks = True") == 1
    copied.write_text(text.replace("\nmasks = True", "\nmasks = False"), encoding="utf-8")
    theirs = small(TEMPLATE, tmp_path).model
    theirs.bbox_head.update(labels="raw", num_classes=5)
    torch.save({"model": to_official(MODELS.build(theirs).state_dict())}, tmp_path / "theirs.pth")

    def config(**changes) -> Config:
        changes = dict(train_cfg__max_epochs=1) | changes
        return quiet(tiny(load_config(copied)), tmp_path / "run", **changes)

    runner = Runner.from_cfg(config(load_from=str(tmp_path / "theirs.pth")))
    runner.train()
    head = runner.model.bbox_head
    assert (head.iou_aware, head.with_vector, head.token_label) == (True, False, False)
    best = next((tmp_path / "run").glob("best_*.pth"))
    scores = Runner.from_cfg(config(load_from=str(best))).test()
    assert scores[BOXES] == runner.message_hub.log_scalars[f"val/{BOXES}"].data[0][-1]
    going_on = Runner.from_cfg(config(train_cfg__max_epochs=2, resume=True))
    going_on.train()
    assert going_on.epoch == 2


# ----------------------------------------------------------------------------------------------------------------------
# Two processes


def distiller(work_dir: Path, **changes) -> Config:
    """Return the small version of a distillation, its teacher, which is wider, too."""
    config = small(DISTILLED, work_dir, **changes)
    teacher = small(VIDT, work_dir).model
    teacher.backbone.arch.embed_dims, teacher.neck.in_channels = 24, [48, 96, 192, 256]
    torch.manual_seed(1)
    drawn = MODELS.build(teacher)
    drawn.init_weights()
    file = work_dir / f"teacher_{next(NUMBER)}.pth"
    torch.save({"state_dict": drawn.state_dict()}, file)
    config.model.update(type="ViDTDistiller", teacher_config=teacher, teacher_checkpoint=str(file))
    return config


def alike(config: Config, seed: int = 3) -> Config:
    """Return a config with a batch of four pictures of one size, whichever are in a batch together.

    Pictures 3 to 6 have 1, 3, 3 and 2 objects: two processes have other numbers of them, so the number that losses are
    divided by must be their mean.
    """
    loader = config.train_dataloader
    pipeline = [step for step in loader.dataset.pipeline if step.type != "ViDTResize"]
    pipeline.insert(-1, dict(type="Resize", scale=(64, 64), keep_ratio=False))
    loader.batch_size = 4
    loader.dataset.update(generate=dict(count=4, size=64, seed=seed), pipeline=pipeline)
    return config


def kinds(work_dir: Path) -> dict[str, Config]:
    """Return a config of each kind of detector for a comparison of one process and two."""
    found = {
        "no-refine": alike(small(VIDT, work_dir, model__bbox_head__with_box_refine=False)),
        # officially the loss of mask vectors is a mean of a process's own
        "plus": alike(small(PLUS, work_dir, model__bbox_head__criterion=dict(no_vector_loss_norm=True))),
        "coat": alike(small(COAT, work_dir)),
        # so is its class loss: pictures 0 to 3 have 2, 2, 1 and 1 objects, so both processes have as many
        "neck-free": alike(small(NECK_FREE, work_dir), seed=0),
        "distiller": alike(distiller(work_dir)),
    }
    dataset = found["distiller"].train_dataloader.dataset
    pairs = [dict(dataset, generate=dict(count=1, size=64, seed=seed)) for seed in (3, 3, 6, 6)]
    # a root is taken of a process's mean distance: give both the same pictures
    found["distiller"].train_dataloader.dataset = dict(type="ConcatDataset", datasets=pairs)
    return found


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    assert_two_ranks_average_to_one(kinds(tmp_path), tmp_path)


def test_mim_trains_with_two_processes_that_stay_equal(tmp_path):
    config = small(PLUS, tmp_path, default_hooks__checkpoint__interval=100)
    assert_mim_two_ranks_train("vidt", config, tmp_path, iterations=20)


# ----------------------------------------------------------------------------------------------------------------------
# Distillation


def test_distillation_trains_the_student_alone(tmp_path):
    config = short(distiller(tmp_path, train_dataloader__batch_size=4, default_hooks__logger__interval=1), 12)
    config.optim_wrapper.optimizer.lr = 3e-3
    runner = Runner.from_cfg(config)
    before = {name: value.clone() for name, value in runner.model.teacher.state_dict().items()}
    model = runner.train()
    losses = list(runner.message_hub.log_scalars["train/loss_distil"].data[0])
    assert 0 < sum(losses[-2:]) < 0.9 * sum(losses[:2])
    assert not model.teacher.training
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    saved = load(tmp_path / "iter_12.pth")
    student = small(DISTILLED, tmp_path)
    assert saved["state_dict"].keys() == Runner.from_cfg(student).model.state_dict().keys()
    optimised = sum(len(group["params"]) for group in saved["optimizer"]["param_groups"])
    assert optimised == len(list(model.parameters()))
    student.load_from = str(tmp_path / "iter_12.pth")
    metrics = Runner.from_cfg(student).test()
    assert BOXES in metrics


def test_a_teacher_that_is_not_there_stops_a_training_before_its_first_step(tmp_path):
    config = distiller(tmp_path)
    config.model.teacher_checkpoint = str(tmp_path / "gone.pth")
    runner = Runner.from_cfg(short(config, 1))
    with pytest.raises(FileNotFoundError, match="train the teacher first"):
        runner.train()
    assert runner.iter == 0
    assert not list(tmp_path.glob("iter_*"))


# ----------------------------------------------------------------------------------------------------------------------
# What may go wrong


@pytest.mark.parametrize("name", [PLUS, VIDT, NECK_FREE])
def test_batches_of_one_train_with_and_without_objects(tmp_path, name):
    """Pictures 10 and 11, of which the second has none."""
    config = short(small(name, tmp_path, train_dataloader__batch_size=1), 2)
    config.train_dataloader.dataset.generate = dict(count=2, size=64, seed=10)
    config.default_hooks.logger.interval = 1
    runner = Runner.from_cfg(config)
    model = runner.train()
    assert all(weight.isfinite().all() for weight in model.parameters())
    logged = {key: runner.message_hub.log_scalars[f"train/{key}"].data[0] for key in ("loss_cls", "loss_bbox")}
    assert len(logged["loss_cls"]) == 2
    assert (logged["loss_cls"] > 0).all()
    assert sorted(value == 0 for value in logged["loss_bbox"]) == [False, True]


@pytest.mark.parametrize("part", ["backbone.det_token", "bbox_head.token_embed.bias"])
def test_a_bad_gradient_stops_before_its_step(tmp_path, part):
    runner = Runner.from_cfg(small(PLUS, tmp_path))
    runner.model.get_parameter(part).register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=rf"iteration 1: the gradient of '{part}' is not finite"):
        runner.train()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())


def test_predictions_that_are_not_finite_say_what_to_do(tmp_path):
    runner = Runner.from_cfg(small(PLUS, tmp_path))
    runner.model.tgt_proj.register_forward_hook(lambda _module, _inputs, output: output * torch.nan)
    with pytest.raises(ValueError, match=r"image 0 of the batch cannot be matched: .* lower lr, clip gradients"):
        runner.train()


def test_layers_computed_again_change_nothing(tmp_path):
    """With dropout and stochastic depth, which are drawn again."""
    results = []
    for again in (False, True):
        config = dropping(PLUS, tmp_path)
        config.model.backbone.with_cp = config.model.decoder.with_cp = again
        model, losses = first_step(config)
        results.append([*losses.values(), *(weight.grad for weight in model.parameters())])
    assert len(results[0]) > 100
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_the_learning_rate_is_scaled_for_all_groups(tmp_path):
    config = small(PLUS, tmp_path, train_dataloader__batch_size=8)
    config.auto_scale_lr.enable = True
    said = configuration.scale_learning_rate(config, processes=4)
    assert "from 0.0001 to 0.0002, since 4 process(es) x 8 samples = a batch of 32, and it is meant for 16" in said
    groups = Runner.from_cfg(config).build_optim_wrapper(config.optim_wrapper).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([2e-4] * 3)
