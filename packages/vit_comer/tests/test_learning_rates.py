"""The official groups of parameters on our configs."""

import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import nn

import mmrepro.dense.layer_decay  # noqa: F401  registers the constructor
from mmrepro.engine.configuration import use_bf16
from mmrepro.testing import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "det_small": "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco",
    "det_base": "mask-rcnn_vit-comer-b_dinov2_fpn_8xb2-amp-3x_coco",
    "det_vit_small": "mask-rcnn_vit-s_deit_fpn_8xb2-amp-3x_coco",
    "det_vit_base": "mask-rcnn_vit-b_deit_fpn_8xb2-amp-3x_coco",
    "seg_tiny": "vit-comer-t_deit_upernet_8xb2-amp-160k_ade20k-512x512",
}


def groups(model: nn.Module, settings: dict) -> dict[str, tuple[float, float]]:
    """Return learning rate, relative to the base, and weight decay by parameter."""
    wrapper = build_optim_wrapper(model, copy.deepcopy(settings))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"] / settings["optimizer"]["lr"], group["weight_decay"])
        for group in wrapper.optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("case", sorted(CONFIGS))
def test_a_config_has_the_official_groups(case):
    official = json.loads((ROOT / f"tests/parity/param_groups_{case}.json").read_text(encoding="utf-8"))
    config = copy.deepcopy(load_config(ROOT / f"configs/vit_comer/{CONFIGS[case]}.py"))
    use_bf16(config)  # fp16 needs an accelerator
    with torch.device("meta"), DefaultScope.overwrite_default_scope(config.default_scope):
        found = groups(MODELS.build(config.model), config.optim_wrapper)
    expected = {
        name: (group["lr_scale"], group["weight_decay"]) for group in official["groups"] for name in group["params"]
    }
    assert found.keys() == expected.keys()
    assert {name: pytest.approx(value) for name, value in expected.items()} == found
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (
        official["optimizer"]["lr"],
        official["optimizer"]["weight_decay"],
    )
