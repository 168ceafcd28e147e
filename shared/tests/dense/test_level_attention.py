"""Deformable attention on the CPU by faster operations: the core's numbers and gradients."""

import pytest
import torch
from torch import nn

from mmrepro.dense.level_attention import LevelDeformableAttention, locate, short_softmax
from mmrepro.dense.token_levels import token_levels
from mmrepro.ops import MultiScaleDeformableAttention

GRID = (2, 3, 4)  # heads, levels, points


@pytest.fixture
def levels():
    return token_levels(4, 6, torch.zeros(1))


def test_locations_are_those_of_the_core_to_the_bit(levels):
    offsets = torch.randn(2, 126, 48)
    core = MultiScaleDeformableAttention(16, *GRID, batch_first=True)
    expected = core._locations(levels.reference_points, offsets.view(2, 126, *GRID, 2), levels.spatial_shapes)
    assert torch.equal(locate(offsets, levels.reference_points, levels.spatial_shapes, GRID), expected)


def test_offsets_in_half_precision_keep_references_in_single(levels):
    offsets = torch.randn(1, 126, 48).half()
    found = locate(offsets, levels.reference_points, levels.spatial_shapes, GRID)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, locate(offsets.float(), levels.reference_points, levels.spatial_shapes, GRID))


def test_softmax_of_large_logits_has_no_overflow():
    logits = torch.randn(2, 5, 24) * 200
    weights = short_softmax(logits, 2)
    torch.testing.assert_close(weights, logits.view(2, 5, 2, 12).softmax(-1))
    assert weights.is_contiguous()


def test_weights_of_logits_in_half_precision_add_up_to_one():
    logits = torch.randn(2, 5, 24).bfloat16()
    weights = short_softmax(logits, 2)
    assert weights.dtype == torch.float32
    assert (weights.sum(-1) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("batch", [1, 3])
def test_results_and_gradients_are_those_of_the_core(levels, batch):
    torch.manual_seed(0)
    core, ours = (
        one(16, *GRID, batch_first=True).double() for one in (MultiScaleDeformableAttention, LevelDeformableAttention)
    )
    for parameter in core.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours.load_state_dict(core.state_dict())
    query, value, cotangent = torch.randn(3, batch, 126, 16, dtype=torch.double)
    tables = levels.reference_points.double(), levels.spatial_shapes, levels.level_start_index
    results = []
    for module in (core, ours):
        inputs = [query.clone().requires_grad_(), value.clone().requires_grad_()]
        result = module.attend(*inputs, *tables)
        gradients = torch.autograd.grad(result, [*inputs, *module.parameters()], cotangent)
        results.append((result, *gradients))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_padding_is_left_out_as_in_the_core(levels):
    core, ours = (one(16, *GRID, batch_first=True) for one in (MultiScaleDeformableAttention, LevelDeformableAttention))
    ours.load_state_dict(core.state_dict())
    tokens, padding = torch.randn(1, 126, 16), torch.arange(126)[None] > 100
    tables = levels.reference_points, levels.spatial_shapes, levels.level_start_index, padding
    assert torch.equal(ours.attend(tokens, tokens, *tables), core.attend(tokens, tokens, *tables))
