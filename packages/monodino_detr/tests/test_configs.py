"""What the configs say: the official recipe, the networks that their names promise, and the metafile's numbers."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, PARAM_SCHEDULERS

from mmrepro.testing import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "monodino_detr"
CARS = sorted(CONFIGS.glob("*_kitti-car.py"))
ROWS = {model["Name"]: model for model in yaml.safe_load((CONFIGS / "metafile.yml").read_text("utf-8"))["Models"]}
THREE = CONFIGS / "monodino-detr_dinov2-vitb-dav2_4xb8-195e_kitti-3class.py"
OWN, RACING = CONFIGS / "monodino-detr_own-kitti.py", CONFIGS / "monodino-detr_dinov2-vitb-dav2_160bins-120m_racing.py"
ARCHS = {"s": "small", "b": "base", "l": "large"}


def name_of(path: Path) -> str:
    return path.stem


def step(dataset: Config, kind: str) -> dict:
    (found,) = (one for one in dataset.pipeline if one["type"] == kind)
    return found


@pytest.mark.parametrize("path", CARS, ids=name_of)
def test_the_recipe_is_the_official_one(path):
    config = load_config(path)
    assert config.optim_wrapper == dict(
        type="OptimWrapper",
        constructor="MonoDINOParamGroups",
        optimizer=dict(type="LegacyAdamW", lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    )
    train, val, test = (config[f"{part}_dataloader"] for part in ("train", "val", "test"))
    assert (train.batch_size, train.drop_last, config.auto_scale_lr.base_batch_size) == (8, True, 32)
    assert test == val
    assert train.dataset.writelist == ("Car",)
    assert train.dataset.metainfo.classes == ("Pedestrian", "Car", "Cyclist")
    assert step(train.dataset, "KittiPhotometricDistort")["wrap_uint8"]
    drawn, whole = (step(one.dataset, "KittiFlipCropAffine") for one in (train, val))
    assert (drawn["size"], drawn["flip_prob"], drawn["crop_prob"]) == ((1280, 384), 0.5, 0.5)
    assert (whole["size"], whole["flip_prob"], whole["crop_prob"]) == ((1280, 384), 0.0, 0.0)
    assert config.default_hooks.checkpoint.save_best == "kitti/Car_AP3D_R40_moderate"
    assert config.randomness.seed == 444
    given = config.model.data_preprocessor
    assert (given.mean, given.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert given.bgr_to_rgb


def test_the_learning_rate_falls_where_the_official_one_does():
    config = load_config(CARS[0])
    adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.optim_wrapper.optimizer.lr)
    (schedule,) = (PARAM_SCHEDULERS.build({**one, "optimizer": adamw}) for one in config.param_scheduler)
    for epoch in range(config.train_cfg.max_epochs):
        expected = 2e-4 * (0.1 if epoch >= 125 else 1) * (0.1 if epoch >= 165 else 1)
        assert adamw.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9), epoch
        adamw.step()
        schedule.step()
    assert config.train_cfg.max_epochs == 195


@pytest.mark.parametrize("path", CARS, ids=name_of)
def test_the_network_is_that_of_the_name(path):
    config, size = load_config(path), re.search(r"-vit([sbl])-", path.stem)[1]
    assert config.model.backbone.arch == config.model.depth_head.arch == ARCHS[size]
    for part in ("backbone", "depth_head"):
        start = config.model[part].init_cfg
        assert start.type == "PretrainedDepthAnything"
        assert start.checkpoint.endswith(f"/depth_anything_v2_vit{size}.pth")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert model.decoder.use_dab == ("no-dab" not in path.stem)
    assert (model.target_size, model.group_num, model.queries.num_queries) == ((518, 518), 11, 50)
    assert len(model.encoder.layers) == len(model.decoder.layers) == 3
    assert not any(one.requires_grad for part in (model.backbone, model.depth_head) for one in part.parameters())


@pytest.mark.parametrize("name", ROWS)
def test_the_head_of_a_row_says_what_the_metafile_says(name):
    model, config = ROWS[name], load_config(CONFIGS / f"{name}.py")
    (result,) = model["Results"]
    head = (CONFIGS / f"{name}.py").read_text("utf-8").split("_base_")[0]
    stated = re.search(
        r"^# Expected: (?:([\d.]+) / ([\d.]+) / ([\d.]+) AP3D R40 of easy / moderate / hard|nobody)", head, re.M
    )
    reported = [result["Metrics"].get(f"AP3D {level}") for level in ("easy", "moderate", "hard")]
    assert stated.groups() == tuple(None if one is None else str(one) for one in reported)
    facts = model["Metadata"]
    assert facts["Epochs"] == config.train_cfg.max_epochs
    assert facts["Batch Size"] == config.auto_scale_lr.base_batch_size
    assert result["Seeds"][0] == config.randomness.seed
    assert len(result["Seeds"]) == (3 if result["Metrics"] else 1)  # one run says nothing of the spread


def test_every_network_of_the_official_code_has_a_row():
    assert {path.stem for path in (*CARS, THREE)} == set(ROWS)


def test_three_classes_are_trained_and_tested():
    config = load_config(THREE)
    classes = ("Pedestrian", "Car", "Cyclist")
    assert config.model.bbox_head.num_classes == 3
    assert config.train_dataloader.dataset.writelist == config.val_dataloader.dataset.writelist == classes
    assert config.test_evaluator.evaluated == config.val_evaluator.evaluated == classes


def test_racing_reads_as_far_as_its_bins_reach():
    config = load_config(RACING)
    assert config.model.depth_predictor.num_depth_bins == 160
    assert config.model.depth_predictor.depth_max == 120.0
    assert step(config.train_dataloader.dataset, "LoadKittiAnnotations3D")["depth_range"] == (2.0, 120.0)
    with torch.device("meta"):
        assert MODELS.build(config.model).depth_predictor.depth_pos_embed.num_embeddings == 121


@pytest.mark.parametrize("start", [None, "weights.pth"])
def test_weights_to_start_from_replace_the_public_ones_in_a_copy(tmp_path, start):
    copy = tmp_path / "copy.py"
    copy.write_text(OWN.read_text("utf-8").replace("\nstart = None", f"\nstart = {start!r}"), "utf-8")
    config = load_config(copy)
    assert config.load_from == start
    assert [config.model[part].init_cfg is None for part in ("backbone", "depth_head")] == [start is not None] * 2
