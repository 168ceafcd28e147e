"""What the configs say: the official recipe, the networks that their names promise, and the metafile's numbers.

The parity cases read sizes, means, augmentation, optimiser and schedule from a config, too.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import MODELS, PARAM_SCHEDULERS
from mmengine.runner import set_random_seed

from mmrepro.testing import load_config, tiny

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "vidt"
COCO = sorted(CONFIGS.glob("*_8xb2-*_coco.py"))
ROWS = {model["Name"]: model for model in yaml.safe_load((CONFIGS / "metafile.yml").read_text("utf-8"))["Models"]}
CUSTOM = CONFIGS / "vidt_swin-nano_8xb2-50e_custom.py"
EPOCHS = (50, 150)
DROP_PATH = {"nano": 0.0, "tiny": 0.2, "small": 0.3, "base": 0.3, "large": 0.3}  # of the last block
WIDTHS = {"nano": 48, "tiny": 96, "small": 96, "base": 128, "large": 192}  # of the first stage


def name_of(path: Path) -> str:
    return path.stem


def row_config(name: str) -> Config:
    return load_config(CONFIGS / f"{name}.py")


def epochs_of(path: Path) -> int:
    return int(re.search(r"-(\d+)e_", path.stem)[1])


@pytest.mark.parametrize("path", COCO, ids=name_of)
def test_the_recipe_is_the_official_one(path):
    config, epochs = load_config(path), epochs_of(path)
    (schedule,) = config.param_scheduler
    assert (config.train_cfg.max_epochs, schedule.T_max, schedule.end) == (epochs, epochs, epochs)
    assert config.optim_wrapper == dict(
        type="OptimWrapper",
        constructor="ViDTParamGroups",
        optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
        clip_grad=dict(max_norm=0.1, norm_type=2),
    )
    train, val, test = (config[f"{part}_dataloader"] for part in ("train", "val", "test"))
    assert (train.batch_size, train.drop_last, config.auto_scale_lr.base_batch_size) == (2, True, 16)
    assert train.dataset.filter_cfg == dict(filter_empty_gt=False)
    assert (val.batch_size, val.batch_sampler) == (2, dict(type="PublishedBatches", gpus=8))
    assert test == val
    assert config.randomness.seed == 42


@pytest.mark.parametrize("path", COCO, ids=name_of)
def test_pictures_are_read_and_resized_as_officially(path):
    config = load_config(path)
    load, annotations, augment, pack = config.train_dataloader.dataset.pipeline
    assert (load.color_type, load.imdecode_backend) == ("color_ignore_orientation", "pillow")
    assert (augment.type, augment.resize_type, augment.longest) == ("FlipResizeCrop", "ViDTResize", 1333)
    assert augment.short_sides == [480 + 16 * step for step in range(21)]
    resize = dict(type="ViDTResize", scale=(1333, 800))
    assert config.test_dataloader.dataset.pipeline == [load, resize, pack]
    head = config.model.bbox_head
    has_masks = head.get("with_vector", False)
    assert annotations.get("with_mask", False) == (has_masks or head.get("token_label", False))
    assert config.test_evaluator.get("metric", "bbox") == (["bbox", "segm"] if has_masks else "bbox")
    assert config.test_evaluator == config.val_evaluator
    given = config.model.data_preprocessor
    assert (given.mean, given.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert (given.bgr_to_rgb, given.pad_size_divisor) == (True, 1)


def test_training_pictures_have_sides_of_multiples_of_16():
    _, _, augment, _ = row_config("vidt_swin-nano_8xb2-50e_coco").train_dataloader.dataset.pipeline
    steps, sizes = Compose([dict(augment)]), set()
    set_random_seed(0)
    for _ in range(12):
        sizes.add(steps(dict(img=np.zeros((90, 160, 3), np.uint8), img_shape=(90, 160)))["img_shape"])
    assert all(side % 16 == 0 for size in sizes for side in size)
    assert max(max(size) for size in sizes) <= 1333
    assert {round(max(size) / min(size), 1) for size in sizes} > {1.8}  # as it was, and of crops


@pytest.mark.parametrize("epochs", EPOCHS)
def test_the_learning_rate_is_the_official_cosine(epochs):
    config = row_config(f"vidt_swin-nano_8xb2-{epochs}e_coco")
    rate, least = config.optim_wrapper.optimizer.lr, 1e-7
    adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    (schedule,) = (PARAM_SCHEDULERS.build({**one, "optimizer": adamw}) for one in config.param_scheduler)
    for epoch in range(epochs):
        expected = least + (rate - least) * (1 + math.cos(math.pi * max(epoch - 1, 0) / epochs)) / 2
        assert adamw.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9), epoch
        adamw.step()
        schedule.step()


@pytest.mark.parametrize("path", COCO, ids=name_of)
def test_the_network_is_that_of_the_name(path):
    config, name = load_config(path), path.stem
    with torch.device("meta"):
        model = MODELS.build(config.model)
    plus, has_neck = name.startswith("vidt-plus"), "wo-neck" not in name
    assert model.backbone.det_token.shape[1] == (300 if "_300q_" in name else 100)
    start = config.model.backbone.init_cfg.checkpoint
    kind, body = re.search(r"_(swin|coat-lite)-(\w+?)_", name).groups()
    assert f"{kind.replace('-', '_')}_{body}" in start
    if kind == "swin":
        assert ("_22k.pth" in start) == (body in ("base", "large"))
        assert model.backbone.det_token.shape[2] == WIDTHS[body]
        assert model.backbone.stages[3].blocks[1].drop_path_rate == pytest.approx(DROP_PATH[body])
        assert model.backbone.stages[0].blocks[0].drop_path_rate == 0
    assert hasattr(model, "neck") == has_neck
    if has_neck:
        head = model.bbox_head
        assert type(model.neck).__name__ == ("EPFF" if plus or "epff" in name else "ChannelMapper")
        assert model.decoder.num_layers == head.num_levels - 1 == (4 if "_dec4_" in name else 6)
        found = {part: getattr(head, part) for part in ("iou_aware", "token_label", "with_vector")}
        masks = plus and "plus-det" not in name
        iou_token = "iou-token" in name
        wanted = dict(iou_aware=plus or iou_token, token_label=masks or iou_token, with_vector=masks or "-uqr" in name)
        assert found == wanted


@pytest.mark.parametrize("name", ROWS)
def test_the_head_of_a_row_says_what_the_metafile_says(name):
    model, config = ROWS[name], row_config(name)
    (result,) = model["Results"]
    head = (CONFIGS / f"{name}.py").read_text("utf-8").split("_base_")[0]
    stated = re.search(r"^# Expected: (?:([\d.]+)(?: box)? AP(?: and ([\d.]+) mask AP)? on val2017|nobody)", head, re.M)
    reported = (result["Metrics"].get(metric) for metric in ("AP", "mask AP"))
    assert stated.groups() == tuple(None if one is None else str(one) for one in reported)
    facts = model["Metadata"]
    assert facts["Epochs"] == config.train_cfg.max_epochs
    assert facts["Batch Size"] == config.auto_scale_lr.base_batch_size
    assert result["Seeds"] == ([] if "_dec4_" in name else [config.randomness.seed])  # four layers are never trained
    assert facts.get("Official Checkpoint", "").rpartition("/")[2] == model.get("Weights", "").rpartition("/")[2]


def test_every_network_of_the_official_code_has_a_row():
    assert {path.stem for path in COCO if not path.stem.startswith("vidt-plus-det")} == set(ROWS)


def test_official_files_of_other_weights_have_other_names():
    """Plain and distilled ones do not, where they are published; in a folder of both one would be tested for both."""
    names = {}
    for row in ROWS.values():
        if "Weights" in row:
            names.setdefault(row["Metadata"]["Official Checkpoint"], set()).add(row["Weights"])
    assert {name: urls for name, urls in names.items() if len(urls) > 1} == {}


@pytest.mark.parametrize("body", ["nano", "tiny", "small"])
def test_a_distillation_adds_the_official_teacher_to_the_plain_training(body):
    distilled, plain = (
        row_config(f"vidt_swin-{body}_distill-swin-base_8xb2-50e_coco"),
        f"vidt_swin-{body}_8xb2-50e_coco",
    )
    settings, teacher = distilled.model.to_dict(), "vidt_swin-base_8xb2-50e_coco"
    assert settings.pop("type") == "ViDTDistiller"
    assert settings.pop("distil_weight") == 4.0
    assert settings.pop("teacher_checkpoint") == ROWS[teacher]["Weights"]
    assert Path(settings.pop("teacher_config")) == CONFIGS / f"{teacher}.py"
    student = row_config(plain).model.to_dict()
    assert {"type": "ViDT", **settings} == student
    assert tiny(distilled).model == tiny(row_config(plain)).model


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*_dec4_*.py")), ids=name_of)
def test_as_many_layers_are_kept_as_the_decoder_has(path):
    config, plain = load_config(path), load_config(path.with_name(path.name.replace("_dec4", "")))
    first, *others = config.custom_hooks
    assert first == dict(type="ViDTCheckpointHook", num_layers=config.model.decoder.num_layers)
    assert others == plain.custom_hooks[1:]
    assert tiny(config).custom_hooks == plain.custom_hooks


@pytest.mark.parametrize("start", [None, "weights.pth"])
def test_weights_to_start_from_replace_those_of_the_body_in_a_copy(tmp_path, start):
    """The template for plain ViDT, which is copied together with the one that it changes."""
    for template in (CUSTOM, CONFIGS / "vidt-plus_own-coco.py"):
        (tmp_path / template.name).write_text(template.read_text("utf-8"), "utf-8")
    copy = tmp_path / CUSTOM.name
    copy.write_text(copy.read_text("utf-8").replace("\nstart = None", f"\nstart = {start!r}"), "utf-8")
    config = load_config(copy)
    assert config.load_from == start
    assert (config.model.backbone.init_cfg is None) == (start is not None)
