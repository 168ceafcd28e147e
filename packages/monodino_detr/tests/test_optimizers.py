"""The parameter groups: what decays by its name, and settings that they do not take."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mm_monodino_detr.checkpoint import from_official
from mm_monodino_detr.optimizers import decays
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
WRAPPER = dict(
    type="OptimWrapper", constructor="MonoDINOParamGroups", optimizer=dict(type="LegacyAdamW", weight_decay=1e-4)
)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)  # in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def test_biases_alone_do_not_decay_and_frozen_parameters_are_left_out():
    layer = Layer()
    optimizer = build_optim_wrapper(layer, WRAPPER).optimizer
    biases, others = optimizer.param_groups
    assert type(optimizer).__name__ == "LegacyAdamW"
    assert [group["weight_decay"] for group in (biases, others)] == [0.0, 1e-4]
    wanted = [layer.attention.in_proj_bias, layer.attention.out_proj.bias, layer.norm.bias]
    assert {id(one) for one in biases["params"]} == {id(one) for one in wanted}
    assert len(others["params"]) == 3


@pytest.mark.parametrize("name", ["vits_dab", "vits_nodab"])
def test_official_names_have_the_same_groups(name):
    listed = load_keys(KEYS / f"keys_{name}.json")[name]
    official = {key: torch.empty(shape, device="meta") for key, shape in listed["state_dict"].items()}
    name_of = {id(tensor): key for key, tensor in official.items() if key not in listed["aliases"]}
    ours = from_official(official)
    assert {decays(key) for key in ours} == {True, False}
    assert [key for key, tensor in ours.items() if decays(key) != decays(name_of[id(tensor)])] == []


def test_settings_of_mmengines_groups_are_refused():
    with pytest.raises(ValueError, match=r"takes no paramwise_cfg, and there is bias_decay_mult\. Fix"):
        build_optim_wrapper(Layer(), WRAPPER | dict(paramwise_cfg=dict(bias_decay_mult=0.0)))
