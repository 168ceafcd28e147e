"""The parameter groups: what decays, at which rate, and settings that they do not take."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mm_vidt.optimizers import group_of

WRAPPER = dict(
    type="OptimWrapper", constructor="ViDTParamGroups", optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4)
)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.det_token = nn.Parameter(torch.zeros(1, 2, 3))
        self.backbone.norm = nn.LayerNorm(3)
        self.backbone.fc = nn.Linear(3, 3)
        self.neck = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))


def test_norms_biases_and_tokens_of_the_body_alone_do_not_decay():
    head, no_decay, body = build_optim_wrapper(Detector(), WRAPPER).optimizer.param_groups
    assert [group["weight_decay"] for group in (head, no_decay, body)] == [1e-4, 0.0, 1e-4]
    assert [len(group["params"]) for group in (head, no_decay, body)] == [4, 4, 1]
    assert {group["lr"] for group in (head, no_decay, body)} == {1e-4}


def test_the_body_may_have_another_rate_and_frozen_parameters_are_left_out():
    model = Detector()
    model.backbone.fc.requires_grad_(False)
    settings = WRAPPER | dict(paramwise_cfg=dict(body_lr_mult=0.1))
    head, no_decay, body = build_optim_wrapper(model, settings).optimizer.param_groups
    assert (head["lr"], no_decay["lr"], len(no_decay["params"]), body["params"]) == (1e-4, 1e-5, 3, [])


def test_official_names_have_the_same_groups():
    assert group_of("backbone.layers.0.blocks.0.attn.relative_position_bias_table", 2) == "body"
    assert group_of("backbone.det_pos_embed", 3) == group_of("backbone.patch_embed.norm.weight", 1) == "body_no_decay"
    assert group_of("transformer.decoder.layers.0.norm1.weight", 1) == "head"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(paramwise_cfg=dict(norm_decay_mult=0)), "paramwise_cfg of ViDTParamGroups has norm_decay_mult.*Fix"),
        (dict(optimizer=dict(type="Rprop")), "Fix: optimizer=dict"),
    ],
)
def test_settings_that_it_does_not_take_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build_optim_wrapper(Detector(), WRAPPER | changes)
