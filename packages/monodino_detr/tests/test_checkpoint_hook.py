"""The hook that loads checkpoints: what differs is named, and class rows are drawn anew where the config says so."""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmengine.registry import HOOKS
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mm_monodino_detr.checkpoint import is_class_row, to_official
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import SplitAdapter

detector = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_mono3d").drawn_detector

NAMES = ("Pedestrian", "Car", "Cyclist")


def runner(model: nn.Module, training: bool = True, classes: tuple[str, ...] = NAMES, iteration: int = 0):
    """Return what hooks see of a runner that has just been started."""
    loop = mock.Mock(spec=BaseLoop)
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    loops = dict(_train_loop=loop if training else {}, _val_loop=None, _test_loop=None if training else loop)
    return SimpleNamespace(model=model, _resume=False, iter=iteration, logger=mock.Mock(), **loops)


def load(one, checkpoint: dict, **options) -> dict[str, torch.Tensor]:
    """Run the hook and the strict one after it; return what the model gets."""
    HOOKS.build(dict(type="MonoDINOCheckpointHook", **options)).after_load_checkpoint(one, checkpoint)
    HOOKS.build(dict(type="StrictLoadHook", paper="monodino_detr")).after_load_checkpoint(one, checkpoint)
    return checkpoint["state_dict"]


def refusal(one, checkpoint: dict, **options) -> str:
    with pytest.raises(CheckpointMismatchError) as refused:
        load(one, checkpoint, **options)
    return str(refused.value)


def saved(model: nn.Module) -> dict:
    """Return a checkpoint of ours with its meta."""
    checkpoint = {"state_dict": dict(model.state_dict()), "meta": {}}
    HOOKS.build(dict(type="MonoDINOCheckpointHook")).before_save_checkpoint(runner(model), checkpoint)
    return checkpoint


def same(found: dict, state: dict, but=()) -> bool:
    return all(torch.equal(found[key], state[key]) for key in found if key not in but)


@pytest.mark.parametrize("use_dab", [True, False])
@pytest.mark.parametrize("official", [True, False])
def test_a_file_of_the_same_detector_is_loaded(official, use_dab):
    model = detector(decoder=dict(use_dab=use_dab))
    state = model.state_dict()
    file = {"model_state": to_official(state)} if official else saved(model)
    one = runner(detector(seed=1, decoder=dict(use_dab=use_dab)), training=False)
    assert same(load(one, file), state)
    assert not one.logger.info.called


@pytest.mark.parametrize(
    ("there", "line"),
    [
        (
            dict(classes=3),
            "bbox_head.num_classes: 3 in the file, 4 in the config. Fix: set model.bbox_head.num_classes=3",
        ),
        (dict(classes=3), "new_classes=True of MonoDINOCheckpointHook"),
        (dict(decoder=dict(use_dab=False)), "decoder.use_dab: False in the file, True in the config"),
        (dict(decoder=dict(num_layers=3)), "decoder.num_layers: 3 in the file, 2 in the config"),
        (dict(predictor=dict(num_depth_bins=9)), "depth_predictor.num_depth_bins: 9 in the file, 80 in the config"),
        (dict(predictor=dict(depth_max=120.0)), "depth_predictor.depth_max: 120.0 in the file, 60.0 in the config"),
        (dict(num_queries=5), "num_queries: 5 in the file, 4 in the config. Fix: set model.num_queries=5"),
    ],
)
def test_another_detector_is_refused_by_what_differs(there, line):
    state = detector(**there).state_dict()
    for file in ({"state_dict": dict(state)}, {"model_state": to_official(state)}):
        assert line in refusal(runner(detector(), training=False), file)


@pytest.mark.parametrize(
    ("there", "line"),
    [
        (dict(target_size=42), "target_size: (42, 42) in the file, (56, 56) in the config"),
        (dict(num_queries=11, group_num=3), "group_num: 3 in the file, 11 in the config"),
        (dict(predictor=dict(depth_max=60.5)), "depth_predictor.depth_max: 60.5 in the file, 60.0 in the config"),
        (dict(predictor=dict(depth_min=0.5)), "depth_predictor.depth_min: 0.5 in the file, 0.001 in the config"),
    ],
)
def test_what_shows_in_no_weight_is_carried_by_the_meta(there, line):
    file = saved(detector(**there))
    assert line in refusal(runner(detector(), training=False), file)


def test_a_setting_may_be_ignored():
    file = saved(detector(target_size=42))
    load(runner(detector(), training=False), file, ignore=["target_size"])


def test_class_rows_of_others_are_drawn_anew_at_the_start_of_a_training():
    state = detector(classes=3).state_dict()
    one = runner(detector(seed=1))
    found = load(one, {"state_dict": dict(state)}, new_classes=True)
    rows = [key for key in found if is_class_row(key)]
    assert same(found, state, but=rows)
    assert all(torch.equal(found[key], one.model.state_dict()[key]) for key in rows)
    assert "4 weights are drawn anew: bbox_head.cls_branches.0.weight" in one.logger.info.call_args.args[0]
    for later in (runner(detector(), training=False), runner(detector(), iteration=5)):
        assert "num_classes" in refusal(later, {"state_dict": dict(state)}, new_classes=True)


def test_rows_of_other_names_are_drawn_anew_and_those_of_the_same_are_kept():
    model = detector()
    for classes, kept in ((NAMES, True), (("Lorry", "Car", "Cyclist"), False)):
        file = {"model_state": to_official(model.state_dict())}
        found = load(runner(detector(seed=1), classes=classes), file, new_classes=True)
        key = "bbox_head.cls_branches.0.bias"
        assert torch.equal(found[key], model.state_dict()[key]) == kept


def test_a_file_without_names_is_taken_to_have_the_same_classes():
    one = runner(detector(seed=1))
    load(one, {"state_dict": dict(detector().state_dict())}, new_classes=True)
    assert "does not name its classes" in one.logger.warning.call_args.args[0]


def test_public_weights_are_not_taken_for_a_detector():
    file = {"pretrained.cls_token": torch.zeros(1, 1, 8), "depth_head.projects.0.bias": torch.zeros(8)}
    message = refusal(runner(detector()), file)
    assert "no detector" in message
    assert "init_cfg=dict(type='PretrainedDepthAnything'" in message
