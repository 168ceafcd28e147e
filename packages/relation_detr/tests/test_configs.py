"""What the configs say: the official recipe, and templates that work after a user changed them.

The parity cases read sizes, means, augmentation, optimiser and schedule from the configs too.
"""

from pathlib import Path

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, PICTURES, coco_folder
from mmrepro.engine import test as test_tool
from mmrepro.testing import load_config, tiny

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "relation_detr"
BASE_MODEL = CONFIGS.parent / "_base_" / "models" / "relation-detr_r50.py"
OWN_COCO, OWN_VOC = CONFIGS / "relation-detr_own-coco.py", CONFIGS / "relation-detr_own-voc.py"
MILESTONES = {"4e": (4, 3), "12e": (12, 10), "24e": (24, 20)}  # epochs, and from which on the learning rate is a tenth
ROWS = sorted(path for path in CONFIGS.glob("*_2xb5-*.py"))


def pipelines(config: Config) -> list[list[dict]]:
    return [config[f"{part}_dataloader"].dataset.pipeline for part in ("train", "val", "test")]


def copied(template: Path, folder: Path, **lines: object) -> Path:
    """Return a user's copy of a template, in which some of the settings have other values."""
    text = template.read_text(encoding="utf-8")
    for name, value in lines.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(f"{line}\n", f"{name} = {value!r}\n")
    (folder / template.name).write_text(text, encoding="utf-8")
    return folder / template.name


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_the_recipe_is_the_official_one(path):
    config = load_config(path)
    epochs, milestone = next(value for key, value in MILESTONES.items() if f"-{key}_" in path.stem)
    assert config.train_cfg.max_epochs == epochs
    warming, stepping = config.param_scheduler
    assert (warming.type, warming.start_factor) == ("FirstEpochLinearLR", 0.001)
    assert (stepping.milestones, stepping.gamma) == ([milestone], 0.1)
    assert config.optim_wrapper.optimizer == dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4)
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.1, norm_type=2)
    assert config.auto_scale_lr.base_batch_size == 2 * config.train_dataloader.batch_size == 10
    assert config.val_dataloader.batch_size == config.test_dataloader.batch_size == 1
    steps = [step.type for pipeline in pipelines(config) for step in pipeline]
    for load, *_ in pipelines(config):
        assert load.color_type == "color_ignore_orientation"  # annotations are those of the stored pixels
    assert steps.count("DETRAugmentation") == 1
    assert steps.count("TorchResize") == 2


def test_the_large_model_is_tuned_on_coco_with_its_own_sizes_and_denoising():
    config = load_config(CONFIGS / "relation-detr_focal-l-5scale_2xb5-24e_coco_o365-pre.py")
    assert config.model.dn_cfg.group_cfg.num_dn_queries == 1000
    train, _, test = ({step.type: step for step in pipeline} for pipeline in pipelines(config))
    assert train["DETRAugmentation"].longest == max(test["TorchResize"].scale) == 2000
    assert max(train["DETRAugmentation"].short_sides) == min(test["TorchResize"].scale) == 1200


def test_the_template_has_the_model_and_the_pipelines_of_the_rows():
    own, row = load_config(OWN_COCO), load_config(CONFIGS / "relation-detr_r50-4scale_2xb5-12e_coco.py")
    base = load_config(BASE_MODEL).model.to_dict()
    base["bbox_head"]["num_classes"] = len(own.classes)
    found = own.model.to_dict()
    base.pop("num_feature_levels")  # as many as it has by default
    assert found == base
    assert pipelines(own) == pipelines(row)
    assert own.env_cfg.mp_cfg == row.env_cfg.mp_cfg


def test_one_epoch_is_trained_at_the_full_learning_rate(tmp_path):
    config = load_config(copied(OWN_COCO, tmp_path, max_epochs=1))
    assert config.param_scheduler[1].milestones == [1]


@pytest.mark.parametrize("template", [OWN_COCO, OWN_VOC], ids=lambda path: path.stem)
def test_weights_to_start_from_replace_those_of_the_backbone(tmp_path, template):
    copied(OWN_COCO, tmp_path)
    assert load_config(copied(template, tmp_path)).model.backbone.init_cfg is not None
    (tmp_path / "other").mkdir()
    copied(OWN_COCO, tmp_path / "other")
    config = load_config(copied(template, tmp_path / "other", start="weights.pth"))
    assert config.load_from == "weights.pth"
    assert config.model.backbone.init_cfg is None


def test_mmdets_usual_way_is_a_config(tmp_path):
    """Its own reader, resizing, clipping and metric, all in one run; pictures and detector alone are small."""
    full = load_config(CONFIGS / "relation-detr_r50-4scale_coco-mmdet.py")
    config = tiny(full)
    config.model.bbox_head.num_classes = len(CATEGORIES)
    root, names = coco_folder(count=4, size=64), tuple(CATEGORIES.values())
    data = dict(data_root=str(root), ann_file=ANNOTATIONS, data_prefix=dict(img=PICTURES))
    config.test_dataloader.dataset = {**full.test_dataloader.dataset, **data, "metainfo": dict(classes=names)}
    config.test_evaluator = dict(full.test_evaluator, ann_file=str(root / ANNOTATIONS))
    config.work_dir, config.log_level, config.experiment_name = str(tmp_path), "ERROR", "mmdets_way"
    config.pop("tiny")
    sample = DATASETS.build(config.test_dataloader.dataset)[0]["data_samples"]
    assert max(sample.img_shape) <= 1333
    assert min(sample.img_shape) == 800
    config.test_dataloader.dataset.pipeline[1].scale = (96, 64)
    runner = Runner.from_cfg(config)
    runner.model.init_weights()
    seen, predict = [], runner.model.predict
    runner.model.predict = lambda *given, **options: seen.extend(found := predict(*given, **options)) or found
    assert 0 <= runner.test()["coco/bbox_mAP"] <= 1
    (metric,) = runner.test_evaluator.metrics
    assert (type(runner.test_dataloader.dataset), type(metric)) == (CocoDataset, CocoMetric)
    assert metric.cat_ids == list(CATEGORIES)
    for one in seen:
        height, width = one.ori_shape
        assert (one.pred_instances.bboxes >= 0).all()
        assert (one.pred_instances.bboxes <= torch.tensor([width, height, width, height])).all()
    assert len(seen) == 4
    assert type(DATASETS.build(dict(full.train_dataloader.dataset, lazy_init=True))) is CocoDataset


def test_predictions_are_drawn_where_a_test_is_asked_to(tmp_path, monkeypatch):
    config = tiny(load_config(CONFIGS / "relation-detr_r50-4scale_2xb5-12e_coco.py"))
    config.pop("tiny")
    config.log_level, config.default_hooks.visualization.score_thr = "ERROR", 0.0
    config.dump(tmp_path / "config.py")
    init_default_scope("mmdet")
    torch.save({"state_dict": MODELS.build(config.model).state_dict()}, tmp_path / "weights.pth")
    files = [str(tmp_path / name) for name in ("config.py", "weights.pth")]
    options = ["--work-dir", str(tmp_path / "work"), "--show-dir", "shown"]
    monkeypatch.chdir(tmp_path)
    test_tool.main("relation_detr", [*files, *options])
    drawings = list((tmp_path / "shown").iterdir())
    assert len(drawings) == 8
    assert Image.open(drawings[0]).size[0] > 0
