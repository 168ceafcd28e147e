"""The DPT head: its definition, and that the depth computed only where it is sampled is the same."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from mm_monodino_detr.models.dpt_head import DPTDepthHead

TINY = dict(embed_dims=8, features=12, out_channels=(4, 6, 8, 10))


def depth_head(**settings) -> DPTDepthHead:
    torch.manual_seed(3)
    head = MODELS.build(dict(type="DPTDepthHead", arch=TINY) | settings)
    for name, parameter in head.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1 if name.endswith("bias") else parameter[0].numel() ** -0.5)
    torch.nn.init.constant_(head.scratch["output_conv2"][2].bias, 1.0)  # most of the depth is above 0
    return head


def exact(head: DPTDepthHead, tokens: list[torch.Tensor]) -> tuple[DPTDepthHead, list[torch.Tensor]]:
    """Return both in double precision, where the order of sums does not matter."""
    return head.double(), [level.double() for level in tokens]


def token_maps(grid: tuple[int, int]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(7)
    return [torch.randn(2, grid[0] * grid[1], 8, generator=random) for _ in range(4)]


def plain_depth(head: DPTDepthHead, tokens: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
    """The head as the paper writes it down: each block enlarges, then convolves."""

    def unit(x, conv):
        return conv.conv2(F.relu(conv.conv1(F.relu(x)))) + x

    def fuse(x, skip, block, size):
        if skip is not None:
            x = x + unit(skip, block.resConfUnit1)
        x = F.interpolate(unit(x, block.resConfUnit2), size, mode="bilinear", align_corners=True)
        return block.out_conv(x)

    part, levels = head.scratch, []
    for number, level in enumerate(tokens):
        level = level.transpose(1, 2).reshape(2, 8, *grid)
        level = head.resize_layers[number](head.projects[number](level))
        levels.append(part[f"layer{number + 1}_rn"](level))
    sizes = [tuple(level.shape[2:]) for level in levels]
    x = fuse(levels[3], None, part["refinenet4"], sizes[2])
    x = fuse(x, levels[2], part["refinenet3"], sizes[1])
    x = fuse(x, levels[1], part["refinenet2"], sizes[0])
    x = fuse(x, levels[0], part["refinenet1"], [2 * side for side in sizes[0]])
    x = F.interpolate(part["output_conv1"](x), [14 * side for side in grid], mode="bilinear", align_corners=True)
    return F.relu(part["output_conv2"](x))


@pytest.mark.parametrize("grid", [(3, 3), (2, 5), (1, 1)])
def test_depth_is_its_definition(grid):
    head, tokens = exact(depth_head(), token_maps(grid))
    with torch.inference_mode():
        depth, expected = head(tokens, grid), plain_depth(head, tokens, grid)
    assert depth.shape == (2, 1, 14 * grid[0], 14 * grid[1])
    assert (depth > 0).float().mean() > 0.5
    torch.testing.assert_close(depth, expected)


@pytest.mark.parametrize("grid", [(3, 3), (2, 5), (1, 1), (11, 4)])
def test_the_sampled_depth_is_the_resized_one(grid):
    head, tokens = exact(depth_head(), token_maps(grid))
    with torch.inference_mode():
        sampled, depth = head.sampled(tokens, grid), head(tokens, grid)
    expected = F.interpolate(depth, grid, mode="bilinear", align_corners=False)
    assert sampled.shape == (2, 1, *grid)
    assert expected.max() > expected.min() >= 0
    torch.testing.assert_close(sampled, expected)


def test_the_sampled_depth_has_the_same_gradients():
    grid, gradients = (2, 3), []
    for sampled in (False, True):
        head, tokens = exact(depth_head(frozen=False), token_maps(grid))
        tokens = [level.requires_grad_() for level in tokens]
        depth = head.sampled(tokens, grid) if sampled else F.interpolate(head(tokens, grid), grid, mode="bilinear")
        depth.square().sum().backward()
        gradients.append([one.grad for one in (*tokens, *head.parameters()) if one.requires_grad])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_sampled_depth_costs_the_tail_of_few_pixels():
    """At 37 x 37, base: 6.5 and 5.0 giga multiply-adds of the last 3 x 3 convolutions become 3.6 and 0.4."""
    with torch.device("meta"):
        head, tokens = DPTDepthHead("base"), [torch.empty(1, 37 * 37, 768)] * 4
    costs = []
    for compute in (head.forward, head.sampled):
        with FlopCounterMode(display=False) as counter:
            compute(tokens, (37, 37))
        costs.append(counter.get_total_flops() / 2e9)
    assert costs[0] - costs[1] == pytest.approx(7.45, abs=0.02)


def test_a_frozen_head_keeps_no_graph_and_stays_in_evaluation_mode():
    head = depth_head().train()
    tokens = [level.requires_grad_() for level in token_maps((2, 2))]
    assert not head(tokens, (2, 2)).requires_grad
    assert not head.sampled(tokens, (2, 2)).requires_grad
    assert not any(module.training for module in head.modules())
    assert not any(parameter.requires_grad for parameter in head.parameters())


def test_every_parameter_gets_a_gradient_where_not_frozen():
    head = depth_head(frozen=False).train()
    assert head.training
    head.sampled(token_maps((2, 2)), (2, 2)).sum().backward()
    unused = {f"scratch.refinenet4.resConfUnit1.conv{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")}
    assert {name for name, parameter in head.named_parameters() if parameter.grad is None} == unused
    assert {name for name, parameter in head.named_parameters() if not parameter.requires_grad} == unused


def test_bf16_stays_close_and_leaves_as_float32():
    for method in ("forward", "sampled"):
        exact, close = (getattr(depth_head(bf16=bf16), method)(token_maps((3, 4)), (3, 4)) for bf16 in (False, True))
        assert close.dtype == torch.float32
        assert 0 < (close - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(("arch", "published"), [("small", 2728513), ("base", 10890305), ("large", 30947009)])
def test_each_size_has_the_published_number_of_parameters(arch, published):
    with torch.device("meta"):
        head = DPTDepthHead(arch)
    assert sum(parameter.numel() for parameter in head.parameters()) == published


def test_maps_that_do_not_fit_are_refused():
    head = depth_head()
    for compute in (head, head.sampled):
        with pytest.raises(ValueError, match=r"3 token maps: the head fuses 4"):
            compute(token_maps((2, 2))[:3], (2, 2))
        with pytest.raises(ValueError, match=r"tokens \(2, 4, 8\) do not lie on a grid of 2 x 3"):
            compute(token_maps((2, 2)), (2, 3))


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("giant", r"arch='giant' is unknown. Fix: one of small, base, large"),
        (dict(features=4), r"arch has features. Fix: give embed_dims, features, out_channels"),
        (TINY | dict(out_channels=(4, 4, 4)), r"out_channels=\(4, 4, 4\) needs one entry for each of 4 maps"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(arch, message):
    with pytest.raises(ValueError, match=message):
        DPTDepthHead(arch)
