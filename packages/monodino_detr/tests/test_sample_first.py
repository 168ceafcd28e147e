"""Sampling before projecting: the same numbers and gradients, inside, across and outside the borders."""

import pytest
import torch
from torch import nn

from mm_monodino_detr.models.sample_first import SampleFirstAttention, part_inside
from mmrepro.ops import MultiScaleDeformableAttention, ms_deform_attn

SHAPES = torch.tensor([[12, 16], [6, 8], [1, 5]])
STARTS = torch.tensor([0, 192, 240])
TOKENS = 245


def attention():
    torch.manual_seed(0)
    model = SampleFirstAttention(32, 4, 3, 2, batch_first=True)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double()  # float32 would differ in its last digits


def given(coordinates, queries=6):
    torch.manual_seed(1)
    points = torch.rand(2, queries, 1, coordinates) * 1.4 - 0.2  # also beyond the borders
    return [one.double() for one in (torch.randn(2, queries, 32), torch.randn(2, TOKENS, 32), points)]


@pytest.mark.parametrize("coordinates", [2, 4])
def test_results_and_gradients_are_those_of_the_usual_order(coordinates):
    model = attention()
    query, value, points = given(coordinates)
    assert model.samples_first(query.size(1), TOKENS)
    found = []
    for attend in (model.attend, lambda *args: MultiScaleDeformableAttention.attend(model, *args)):
        inputs = [one.clone().requires_grad_() for one in (query, value, points)]
        output = attend(*inputs, SHAPES, STARTS)
        parameters = list(model.parameters())
        found.append([output, *torch.autograd.grad(output.square().sum(), [*inputs, *parameters])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_part_inside_is_what_a_map_of_ones_gives():
    torch.manual_seed(2)
    locations = torch.rand(2, 7, 4, 3, 2, 2) * 2 - 0.5
    ones = torch.ones(2, TOKENS, 4, 1)
    for level in range(3):
        for point in range(2):
            weights = torch.zeros(2, 7, 4, 3, 2)
            weights[..., level, point] = 1
            expected = ms_deform_attn(ones, SHAPES, STARTS, locations, weights)
            torch.testing.assert_close(part_inside(locations, SHAPES)[..., level, point], expected)


def test_many_queries_of_a_small_memory_are_projected_first():
    model = attention()
    assert not model.samples_first(queries=550, tokens=TOKENS)
    published = SampleFirstAttention(256, 8, 3, 4, batch_first=True)
    assert published.samples_first(queries=50, tokens=28749)
    assert published.samples_first(queries=550, tokens=28749)
