"""Repairs of samples are counted by kind and logged, whatever steps made them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmpretrain.structures import DataSample

from mm_meta_transformer.repair_count_hook import RepairCountHook
from mmrepro import papers
from mmrepro.testing import load_config

CONFIGS = Path(papers.root("meta_transformer")) / "configs" / "meta_transformer"


def batch_of(*repairs):
    return {"data_samples": [DataSample(metainfo={"repairs": words} if words else {}) for words in repairs]}


def test_samples_are_counted_by_kind_and_epoch():
    said = []
    runner, hook = SimpleNamespace(logger=SimpleNamespace(info=said.append)), RepairCountHook()
    hook.after_train_iter(runner, 0, batch_of(("2 frames repeated",), (), ("9 frames repeated", "cut")))
    hook.after_val_iter(runner, 0, batch_of(("cut",)))
    hook.after_train_iter(runner, 1, batch_of(("1 frames repeated",)))
    hook.after_train_iter(runner, 2, {"inputs": 1})
    hook.after_val_epoch(runner)
    hook.after_train_epoch(runner)
    hook.after_train_epoch(runner)
    hook.after_test_epoch(runner)
    assert said == [
        "samples that were repaired to be read (val): cut: 1",
        "samples that were repaired to be read (train): cut: 1; … frames repeated: 3",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "own-audio",
        "own-point-cloud",
        "base_k400-16x4",
        "base_frozen_ucf101-16x4",
        "base_4xb32-200e_speechcommands-224mel",
        "base_1xb32-300e_modelnet40-1024",
        "base_4xb8-300e_shapenetpart",
        "base_8xb2-600e_scannet",
    ],
)
def test_configs_whose_steps_repair_count(name):
    config = load_config(CONFIGS / f"meta-transformer_{name}.py")
    assert config.default_hooks.repairs.type == "RepairCountHook"
