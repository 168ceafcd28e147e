"""The fusion of maps: order, sizes, the formula, and how it starts."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mm_vidt.models.epff import EPFF

WIDTHS, DIMS = (8, 12, 16, 20), 32
SIZES = ((13, 10), (7, 5), (4, 3), (2, 2))


def build() -> EPFF:
    torch.manual_seed(0)
    neck = EPFF(WIDTHS, DIMS, num_groups=8)
    neck.init_weights()
    return neck


def maps() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, width, *size) for width, size in zip(WIDTHS, SIZES, strict=True)]


def unit(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A residual unit by its formula."""
    return x + part.conv3(F.relu(part.conv2(F.relu(part.conv1(F.relu(x))))))


def test_maps_are_fused_from_coarse_to_fine_by_the_formula():
    neck, given = build(), maps()
    found = neck(given)
    fused = None
    for level in (3, 2, 1, 0):
        own = getattr(neck, f"p_norm_{level}")(getattr(neck, f"layer_{level}_rn")(given[level]))
        fusion = getattr(neck, f"refinenet_{level}")
        if fused is not None:
            enlarged = F.interpolate(fused, size=SIZES[level], mode="bilinear", align_corners=True)
            own = fusion.smoothing(enlarged) + unit(fusion.resConfUnit1, own)
        fused = unit(fusion.resConfUnit2, own)
        torch.testing.assert_close(found[3 - level], fused, rtol=1e-5, atol=1e-5)
    assert [tuple(one.shape) for one in found] == [(2, DIMS, *size) for size in reversed(SIZES)]


def test_inputs_are_left_as_they_are():
    neck, given = build(), maps()
    before = [one.clone() for one in given]
    neck(given)
    assert all(torch.equal(one, other) for one, other in zip(given, before, strict=True))


def test_every_parameter_gets_a_gradient():
    neck = build()
    sum(one.square().sum() for one in neck(maps())).backward()
    assert all(parameter.grad.any() for parameter in neck.parameters())


def test_the_coarsest_level_has_nothing_that_it_does_not_use():
    names = build().state_dict()
    assert not any("refinenet_3.smoothing" in name or "refinenet_3.resConfUnit1" in name for name in names)
    assert len(names) == 4 * (2 + 2 + 6) + 3 * (2 + 6)


def test_projections_start_xavier_uniform_without_bias():
    neck = build()
    for level, width in enumerate(WIDTHS):
        projection = getattr(neck, f"layer_{level}_rn")
        bound = math.sqrt(6 / (width + DIMS))
        assert 0.9 * bound < projection.weight.abs().max() <= bound
        assert not projection.bias.any()
        assert getattr(neck, f"refinenet_{level}").resConfUnit2.conv1.bias.any()  # PyTorch's default


def test_another_number_of_maps_is_refused():
    with pytest.raises(ValueError, match=r"built for 4 maps \(in_channels\) and gets 3: give it the widths"):
        build()(maps()[:3])
