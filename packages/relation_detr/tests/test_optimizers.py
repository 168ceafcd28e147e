"""The official groups on our names, for wrapped models, with other multipliers; models without official names."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mm_relation_detr.optimizers import GROUPS, group_of, param_groups

ADAMW = dict(type="AdamW", lr=1e-4, weight_decay=1e-4)


class Level(nn.Module):
    """A few parameters under our names."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.patch_embed = nn.ModuleDict(dict(projection=nn.Conv2d(3, 4, 1), norm=nn.LayerNorm(4)))
        self.neck = nn.Module()
        self.neck.convs = nn.ModuleList(
            [nn.ModuleDict(dict(conv=nn.Conv2d(4, 4, 1, bias=False), gn=nn.GroupNorm(2, 4)))]
        )
        self.encoder = nn.Module()
        self.encoder.memory_fusion = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.LayerNorm(4))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("neck.convs.0.1.weight", "other"),
        ("transformer.encoder.memory_fusion.3.weight", "other"),
        ("transformer.encoder.memory_fusion.3.bias", "norm"),
        ("transformer.decoder.norm.weight", "norm"),
        ("backbone.0.features.0.2.weight", "backbone"),
        ("backbone.0.features.1.0.attn.relative_position_bias_table", "backbone_norm"),
        ("transformer.encoder.layers.0.self_attn.sampling_offsets.weight", "projection"),
        ("transformer.encoder.layers.0.self_attn.sampling_offsets.bias", "projection_norm"),
    ],
)
def test_groups_go_by_official_names(name, group):
    assert group_of(name) == group


def test_norms_that_do_not_say_so_decay_as_officially():
    groups = param_groups(Level())
    assert list(groups) == list(GROUPS)
    assert {"neck.convs.0.1.weight", "transformer.encoder.memory_fusion.3.weight"} <= groups["other"].keys()
    assert {"neck.convs.0.1.bias", "transformer.encoder.memory_fusion.3.bias"} <= groups["norm"].keys()
    assert list(groups["backbone"]) == ["backbone.0.features.0.0.weight", "backbone.0.features.0.2.weight"]
    assert list(groups["backbone_norm"]) == ["backbone.0.features.0.0.bias", "backbone.0.features.0.2.bias"]


def test_frozen_parameters_are_in_no_group():
    model = Level()
    model.backbone.requires_grad_(False)
    assert param_groups(model)["backbone"] == {}


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_optimiser_has_the_six_groups(wrapped):
    model = Level()
    holder = nn.Module()
    holder.module = model
    config = dict(
        optimizer=ADAMW, constructor="RelationDETRParamGroups", clip_grad=dict(max_norm=0.1), type="OptimWrapper"
    )
    wrapper = build_optim_wrapper(holder if wrapped else model, config)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1)
    found = [(group["lr"], group["weight_decay"]) for group in wrapper.optimizer.param_groups]
    assert found == [(1e-4, 1e-4), (1e-5, 1e-4), (1e-5, 0), (1e-5, 1e-4), (1e-5, 0), (1e-4, 0)]
    held = [parameter for group in wrapper.optimizer.param_groups for parameter in group["params"]]
    assert {id(one) for one in held} == {id(one) for one in model.parameters()}
    assert len(held) == len(list(model.parameters()))


def test_multipliers_by_option():
    settings = dict(backbone_lr_mult=0.5)
    wrapper = build_optim_wrapper(
        Level(), dict(optimizer=ADAMW, constructor="RelationDETRParamGroups", paramwise_cfg=settings)
    )
    assert [group["lr"] for group in wrapper.optimizer.param_groups] == pytest.approx(
        [1e-4, 5e-5, 5e-5, 1e-5, 1e-5, 1e-4]
    )


def test_another_option_is_refused():
    settings = dict(norm_decay_mult=0.0)
    with pytest.raises(ValueError, match="norm_decay_mult; it takes backbone_lr_mult"):
        build_optim_wrapper(
            Level(), dict(optimizer=ADAMW, constructor="RelationDETRParamGroups", paramwise_cfg=settings)
        )


def test_an_optimiser_without_a_learning_rate_is_refused():
    with pytest.raises(ValueError, match="multiples of the optimiser's lr"):
        build_optim_wrapper(Level(), dict(optimizer=dict(type="AdamW"), constructor="RelationDETRParamGroups"))


def test_a_parameter_without_an_official_name_is_an_error():
    model = Level()
    model.adapter = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"2 parameters of this model .*: adapter\.bias, adapter\.weight\. Fix: leave"):
        param_groups(model)
    model.adapter = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    with pytest.raises(ValueError, match=r"6 parameters of this model .*adapter\.2\.bias and others\. Fix: leave"):
        param_groups(model)


def test_steps_move_what_is_trained():
    model = Level()
    wrapper = build_optim_wrapper(model, dict(optimizer=ADAMW, constructor="RelationDETRParamGroups"))
    before = [parameter.clone() for parameter in model.parameters()]
    wrapper.update_params(sum((parameter * torch.rand(parameter.shape)).sum() for parameter in model.parameters()))
    assert all((one != two).any() for one, two in zip(before, model.parameters(), strict=True))
