"""Learning rates by depth: the groups, frozen parameters, settings that are refused."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmrepro.dense.layer_decay  # noqa: F401  registers the constructor


class Small(nn.Module):
    """A few parameters under the names that count."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.backbone.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, 4, 2)})
        self.backbone.blocks = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(2)])
        self.backbone.level_embed = nn.Parameter(torch.zeros(3, 4))
        self.decode_head = nn.Module()
        self.decode_head.query_feat = nn.Embedding(2, 4)
        self.decode_head.cls_embed = nn.Linear(4, 3)
        self.decode_head.pixel_decoder = nn.Linear(4, 4)


def groups(model: nn.Module, settings: dict) -> dict[str, tuple[float, float]]:
    """Return learning rate, relative to the base, and weight decay by parameter."""
    wrapper = build_optim_wrapper(model, copy.deepcopy(settings))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"] / settings["optimizer"]["lr"], group["weight_decay"])
        for group in wrapper.optimizer.param_groups
        for parameter in group["params"]
    }


def decayed(**settings) -> dict:
    return dict(
        type="OptimWrapper",
        constructor="ViTLayerDecayConstructor",
        paramwise_cfg=dict(num_layers=2, layer_decay_rate=0.5) | settings,
        optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    )


@pytest.mark.parametrize(("slow", "rate"), [(False, 1.0), (True, 0.125)])
def test_only_one_flavour_slows_the_queries(slow, rate):
    found = groups(Small(), decayed(head_low_lr=slow))
    assert found["decode_head.query_feat.weight"] == (rate, 0.05)
    assert found["decode_head.cls_embed.bias"] == (rate, 0.0)
    assert found["decode_head.pixel_decoder.weight"] == (1.0, 0.05)


def test_rates_fall_from_the_last_block_to_the_patches():
    found = groups(Small(), decayed())
    assert found["backbone.blocks.1.weight"] == (0.5, 0.05)
    assert found["backbone.blocks.0.weight"] == (0.25, 0.05)
    assert found["backbone.patch_embed.proj.weight"] == found["backbone.pos_embed"] == (0.125, 0.05)
    assert found["backbone.patch_embed.proj.bias"] == (0.125, 0.0)
    assert found["backbone.level_embed"] == (1.0, 0.05)


def test_frozen_parameters_are_in_no_group():
    model = Small()
    model.backbone.blocks[0].requires_grad_(False)
    found = groups(model, decayed())
    assert "backbone.blocks.0.weight" not in found
    assert found["backbone.blocks.1.weight"] == (0.5, 0.05)


def test_another_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match=r"num_layers=12, and the model's backbone has 2 blocks.*set num_layers=2"):
        groups(Small(), decayed(num_layers=12))


def test_a_model_without_these_backbones_is_refused():
    with pytest.raises(ValueError, match=r"no parameter backbone\.blocks"):
        build_optim_wrapper(nn.Linear(2, 2), decayed())


@pytest.mark.parametrize(
    "paramwise", [None, dict(num_layers=2), dict(num_layers=2, layer_decay_rate=0.5, custom_keys={})]
)
def test_other_settings_are_refused(paramwise):
    with pytest.raises(ValueError, match=r"give num_layers, layer_decay_rate"):
        build_optim_wrapper(Small(), dict(decayed(), paramwise_cfg=paramwise))


def test_an_optimiser_without_learning_rate_is_refused():
    with pytest.raises(ValueError, match=r"multiples of the optimiser's lr"):
        build_optim_wrapper(Small(), dict(decayed(), optimizer=dict(type="AdamW")))
