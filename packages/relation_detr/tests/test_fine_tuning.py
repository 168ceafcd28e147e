"""Checkpoints of other detectors and of other classes: refused by name, or fine-tuned where the config says so."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mm_relation_detr.checkpoint import to_official
from mm_relation_detr.class_rows import is_class_row
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import load_config, tiny

R50 = "relation-detr_r50-4scale_2xb5-12e_coco"
NAMES = ["none", "disc", "none", "square", "none", "none", "none", "triangle"]


def small(work_dir: Path, name: str = R50, **changes) -> Config:
    """Return the tiny version of a config, for one iteration that changes no weight."""
    config = tiny(load_config(papers.find_config("relation_detr", name)))
    config.pop("tiny")  # the runner writes a config down many times
    config.work_dir, config.log_level, config.experiment_name = str(work_dir), "ERROR", work_dir.name
    config.optim_wrapper.optimizer.lr = 0.0
    config.train_cfg = dict(type="ResumableIterLoop", max_iters=1)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def of_other_classes(work_dir: Path, file: Path, new_classes: bool, classes: int = 8) -> Config:
    config = small(work_dir, load_from=str(file), model__bbox_head__num_classes=classes)
    config.custom_hooks[0].new_classes = new_classes
    return config


@pytest.fixture(scope="module")
def state() -> dict:
    """The weights of a small Relation-DETR with six classes."""
    config = small(Path("unused"), model__bbox_head__num_classes=6)
    torch.manual_seed(7)
    with DefaultScope.overwrite_default_scope("mmdet"):  # a module's fixture comes before conftest's
        return MODELS.build(config.model).state_dict()


@pytest.fixture
def ours(state, tmp_path) -> Path:
    torch.save({"state_dict": state}, tmp_path / "ours.pth")
    return tmp_path / "ours.pth"


@pytest.fixture
def official(state, tmp_path) -> Path:
    torch.save({"model": to_official(state)}, tmp_path / "official.pth")
    return tmp_path / "official.pth"


@pytest.mark.parametrize("layout", ["ours", "official"])
@pytest.mark.parametrize("stage", ["train", "test"])
def test_other_classes_are_refused_by_name(request, tmp_path, layout, stage):
    file = request.getfixturevalue(layout)
    with pytest.raises(CheckpointMismatchError) as refused:
        getattr(Runner.from_cfg(of_other_classes(tmp_path, file, new_classes=False)), stage)()
    text = str(refused.value)
    assert file.name in text
    assert "bbox_head.num_classes: 6 in the file, 8 in the config. Fix: set model.bbox_head.num_classes" in text
    assert "set new_classes=True of RelationLoadHook" in text


@pytest.mark.parametrize("layout", ["ours", "official"])
def test_other_classes_are_drawn_anew_when_asked_to_and_listed(request, state, tmp_path, layout, monkeypatch):
    runner = Runner.from_cfg(of_other_classes(tmp_path, request.getfixturevalue(layout), new_classes=True))
    said = []
    monkeypatch.setattr(runner.logger, "info", said.append)
    found = dict(runner.train().named_parameters())
    (line,) = (text for text in said if "drawn anew" in text)
    for key, value in found.items():
        if is_class_row(key):
            assert key in line
            assert len(value) == 8
        else:
            assert torch.equal(value, state[key]), key
    drawn = [key for key in found if is_class_row(key)]
    assert len(drawn) == 2 * (3 + 1 + 1) + 1
    assert f"{len(drawn)} weights are drawn anew" in line
    assert f"{layout}.pth" in line


def test_a_checkpoint_of_other_classes_is_not_tested_even_where_fine_tuning_is_allowed(ours, tmp_path):
    runner = Runner.from_cfg(of_other_classes(tmp_path, ours, new_classes=True))
    with pytest.raises(CheckpointMismatchError, match="num_classes: 6 in the file, 8 in the config"):
        runner.test()


@pytest.mark.parametrize("names", [NAMES, ["none", "cat", *NAMES[2:]], None])
def test_as_many_classes_are_kept_unless_their_names_are_others(tmp_path, names, monkeypatch):
    """Of a file that does not name them it is said."""
    config = of_other_classes(tmp_path, tmp_path / "named.pth", new_classes=True)
    torch.manual_seed(8)
    weights = MODELS.build(config.model).state_dict()
    torch.save(to_official(weights) | ({"_classes_": codes(names)} if names else {}), tmp_path / "named.pth")
    runner = Runner.from_cfg(config)
    said = []
    monkeypatch.setattr(runner.logger, "warning", lambda text, *others: said.append(text))
    found = runner.train().state_dict()
    for key in filter(is_class_row, weights):
        if key.endswith("weight"):  # biases start at the same value
            assert torch.equal(found[key], weights[key]) == (names in (NAMES, None)), key
    assert any("named.pth does not name its classes" in text for text in said) == (names is None)


def codes(names) -> torch.Tensor:
    """Return class names as official files carry them."""
    return torch.tensor([code for name in names for code in [*map(ord, name), -1]][:-1])


@pytest.mark.parametrize("same", [True, False])
def test_rows_of_the_classes_alone_are_kept_where_their_names_are_the_same(tmp_path, same):
    names = NAMES if same else ["none", "cat", *NAMES[2:]]
    config = of_other_classes(tmp_path, tmp_path / "named.pth", new_classes=True)
    weights = MODELS.build(config.model).state_dict()
    torch.save(to_official(weights) | {"_classes_": codes(names)}, tmp_path / "named.pth")
    config.custom_hooks[0].options = dict(contiguous=True)
    config.model.bbox_head.num_classes = 3
    config.train_dataloader.dataset.labels = "contiguous"
    found = Runner.from_cfg(config).train().state_dict()
    for key in filter(is_class_row, weights):
        if key.endswith("weight"):
            assert torch.equal(found[key], weights[key][[1, 3, 7]]) == same, key


def test_a_misspelt_option_is_said_where_classes_may_be_others(official, tmp_path):
    config = of_other_classes(tmp_path, official, new_classes=True)
    config.custom_hooks[0].options = dict(contigous=True)
    with pytest.raises(ValueError, match="contigous"):
        Runner.from_cfg(config).train()


def test_only_the_classes_may_be_others(state, tmp_path):
    file = tmp_path / "lacking.pth"
    torch.save({"state_dict": {key: value for key, value in state.items() if key != "level_embed"}}, file)
    with pytest.raises(CheckpointMismatchError, match=r"lacking\.pth does not fit(.|\n)*not in the file.*\n +level_em"):
        Runner.from_cfg(of_other_classes(tmp_path, file, new_classes=True)).train()


@pytest.mark.parametrize(
    ("name", "changes", "line"),
    [
        ("dino-pp", {}, "type: 'RelationDETR' in the file, 'DINOPP' in the config"),
        ("deformable-detr-pp", {}, "type: 'RelationDETR' in the file, 'DeformableDETRPP' in the config"),
        ("relation-detr", dict(model__num_queries=10), "num_queries: 12 in the file, 10 in the config"),
        ("relation-detr", dict(model__hybrid_num_queries=0), "hybrid_num_queries: 1500 in the file, 0 in the config"),
        ("relation-detr", dict(model__decoder__num_layers=2), "decoder.num_layers: 3 in the file, 2 in the config"),
        ("relation-detr", dict(model__backbone__depth=34), "backbone.depth: 18 in the file, 34 in the config"),
    ],
)
def test_another_detector_is_refused_and_named(ours, tmp_path, name, changes, line):
    config = small(tmp_path, f"{name}_r50-4scale_2xb5-12e_coco", load_from=str(ours), **changes)
    config.model.bbox_head.num_classes = 6
    with pytest.raises(CheckpointMismatchError) as refused:
        Runner.from_cfg(config).train()
    assert "ours.pth does not fit" in str(refused.value)
    assert "it is another detector than the config's" in str(refused.value)
    assert f"{line}. Fix: set model.{line.split(':')[0]}" in str(refused.value)


def test_another_backbone_is_one_line(ours, tmp_path):
    config = small(tmp_path, "relation-detr_swin-l-4scale_2xb5-12e_coco", load_from=str(ours))
    config.model.bbox_head.num_classes = 6
    with pytest.raises(CheckpointMismatchError, match="'ResNet' in the file, 'RelationSwin' in the config") as refused:
        Runner.from_cfg(config).train()
    assert str(refused.value).count("backbone.") == 2


@pytest.mark.parametrize("classes", [6, 8])
def test_an_official_file_with_an_unknown_key_is_named_with_all_that_is_wrong(state, tmp_path, classes):
    torch.save(to_official(state) | {"transformer.extra": torch.zeros(1)}, tmp_path / "official.pth")
    config = of_other_classes(tmp_path, tmp_path / "official.pth", new_classes=False, classes=classes)
    with pytest.raises(CheckpointMismatchError, match=r"official\.pth does not(.|\n)*transformer\.extra") as refused:
        Runner.from_cfg(config).train()
    assert ("num_classes: 6 in the file, 8 in the config" in str(refused.value)) == (classes == 8)
    assert "cls_branches" not in str(refused.value)


@pytest.mark.parametrize("named", [True, False])
def test_the_options_of_the_hook_count_in_what_is_said_to_differ(state, tmp_path, named):
    """Six official rows are two classes; without names which they are is not known, so nothing is said of them."""
    extra = {"transformer.extra": torch.zeros(1)} | ({"_classes_": codes(NAMES[:6])} if named else {})
    torch.save(to_official(state) | extra, tmp_path / "official.pth")
    config = of_other_classes(tmp_path, tmp_path / "official.pth", new_classes=False, classes=5)
    config.custom_hooks[0].options = dict(contiguous=True, hybrid=False)
    config.model.hybrid_num_queries = 0
    with pytest.raises(CheckpointMismatchError, match=r"official\.pth does not(.|\n)*transformer\.extra") as refused:
        Runner.from_cfg(config).train()
    assert "num_classes: 6" not in str(refused.value)
    assert "hybrid_num_queries" not in str(refused.value)
    assert ("num_classes: 2 in the file, 5 in the config" in str(refused.value)) == named


def test_a_missing_key_is_listed_beside_the_settings_that_differ(state, tmp_path):
    lacking = "encoder.layers.0.norms.0.weight"
    torch.save({"state_dict": {key: value for key, value in state.items() if key != lacking}}, tmp_path / "lacking.pth")
    with pytest.raises(CheckpointMismatchError, match="num_classes: 6 in the file, 8 in the config") as refused:
        Runner.from_cfg(of_other_classes(tmp_path, tmp_path / "lacking.pth", new_classes=False)).train()
    assert lacking in str(refused.value)
    assert "cls_branches" not in str(refused.value)


def test_a_file_that_is_no_detector_is_refused_by_its_keys(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointMismatchError, match=r"resnet\.pth does not fit(.|\n)*conv1\.weight"):
        Runner.from_cfg(small(tmp_path, load_from=str(tmp_path / "resnet.pth"))).train()


def test_training_goes_on_where_it_stopped_after_fine_tuning_began(ours, tmp_path):
    config = of_other_classes(tmp_path, ours, new_classes=True)
    weights = Runner.from_cfg(config).train().state_dict()
    config.load_from, config.resume = str(tmp_path / "iter_1.pth"), True
    config.train_cfg.max_iters, config.experiment_name = 2, f"{tmp_path.name}_resumed"
    resumed = Runner.from_cfg(config).train().state_dict()
    for key in filter(is_class_row, weights):
        assert torch.equal(resumed[key], weights[key]), key
