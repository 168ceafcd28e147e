"""The whole image's result over strips: against the network at once, and what is refused."""

import pytest
import torch
from torch import nn

from mm_hat.models import HAT, ChannelAttention, ResidualHAT
from mm_hat.models.strips import bytes_in_strips, restore_in_strips, rows_for, strips
from mm_hat.models.windows import ShiftedOrder

TINY = {
    "img_size": 16,
    "window_size": 8,
    "compress_ratio": 4,
    "squeeze_factor": 6,
    "conv_scale": 0.5,
    "depths": (2, 2),
    "embed_dim": 24,
    "num_heads": (2, 2),
    "upscale": 2,
}


def drawn(kind=HAT, **options):
    """Return a network with weights so large that every part shows in the result."""
    torch.manual_seed(0)
    network = kind(**TINY | options).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def difference(network, images, rows):
    with torch.no_grad():
        whole = network(images)
    strip_by_strip = restore_in_strips(network, images, rows)
    assert strip_by_strip.shape == whole.shape
    return ((strip_by_strip - whole).abs().max() / whole.abs().max()).item()


@pytest.mark.parametrize(
    "options",
    [
        {"upscale": 1, "upsampler": None},
        {"upscale": 1},
        {"upscale": 3},
        {"upscale": 4},
        {"in_chans": 1, "img_range": 3.0, "qkv_bias": False},
        {"resi_connection": "identity", "patch_norm": False},
        {"overlap_ratio": 0.0},
        {"overlap_ratio": 4.0},
        {"kind": ResidualHAT},
    ],
    ids=str,
)
def test_strips_give_the_whole_picture(options):
    network = drawn(**options).double()
    images = torch.rand(2, network.in_chans, 40, 16, dtype=torch.float64)
    assert difference(network, images, 16) < 1e-12


@pytest.mark.parametrize("size", [(8, 8), (8, 24), (24, 8), (40, 24)])
@pytest.mark.parametrize("rows", [8, 24])
def test_strips_of_any_height_fit_maps_of_any_size(size, rows):
    assert difference(drawn().double(), torch.rand(1, 3, *size, dtype=torch.float64), rows) < 1e-12


def test_in_float32_the_difference_is_rounding():
    assert difference(drawn(), torch.rand(1, 3, 32, 16), 8) < 1e-5


def test_absolute_positions_are_added():
    network = drawn(ape=True).double()
    assert difference(network, torch.rand(2, 3, 16, 16, dtype=torch.float64), 8) < 1e-12


def test_under_autocast_the_result_stays_close():
    network, images = HAT(**TINY).eval(), torch.rand(2, 3, 32, 16)
    exact = restore_in_strips(network, images, 8)
    with torch.autocast("cpu", torch.bfloat16):
        rough = restore_in_strips(network, images, 8)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05


def test_gates_show_in_the_picture():
    """Otherwise the tests above would say nothing of the means over the whole picture."""
    network, images = drawn(), torch.rand(1, 3, 32, 16)
    whole = restore_in_strips(network, images, 8)
    for module in network.modules():
        if isinstance(module, ChannelAttention):
            nn.init.zeros_(module.attention[1].weight)
    assert (restore_in_strips(network, images, 8) - whole).abs().max() > 1e-2


def test_the_orders_of_shifted_strips_are_made_once_for_each_height(monkeypatch):
    made, of_strip = [], ShiftedOrder.of_strip
    monkeypatch.setattr(ShiftedOrder, "of_strip", lambda *args: made.append(args) or of_strip(*args))
    restore_in_strips(drawn(), torch.rand(1, 3, 40, 16), 16)
    assert [(size, last) for _, size, _, _, last in made] == [((16, 16), False), ((8, 16), True)]


def test_maps_are_never_whole_inside_a_block():
    """Every block's feed-forward part, its widest, sees a strip at a time."""
    network, seen = drawn(), set()
    for module in network.modules():
        if type(module).__name__ == "Mlp":
            module.register_forward_hook(lambda _, inputs, __: seen.add(inputs[0].shape[1]))
    restore_in_strips(network, torch.rand(1, 3, 40, 16), 16)
    assert seen == {16, 8}


def test_progress_counts_blocks_and_the_head():
    steps = []
    restore_in_strips(drawn(), torch.rand(1, 3, 16, 16), 8, lambda done, of: steps.append((done, of)))
    assert steps == [(i, 7) for i in range(1, 8)]


def test_the_last_strip_may_be_lower():
    assert list(strips(40, 16)) == [(0, 16), (16, 32), (32, 40)]


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [
        ((1, 3, 16, 16), 12, "rows=12 is no multiple of the window, 8"),
        ((1, 3, 16, 16), 0, "rows=0 is no multiple"),
        ((1, 3, 20, 16), 8, r"20x16 \(H x W\) are no multiples of the window"),
    ],
)
def test_unfit_strips_and_pictures_are_refused(shape, rows, message):
    with pytest.raises(ValueError, match=message):
        restore_in_strips(drawn(), torch.zeros(shape), rows)


def test_strips_are_as_high_as_the_memory_allows_and_as_speed_wants():
    network, sides = drawn(), (64, 32)
    assert rows_for(network, sides, 8, 1e12, pixels=500) == 16
    assert rows_for(network, sides, 8, 1e12, pixels=10**6) == 64
    memory = bytes_in_strips(network, sides, 24)
    assert rows_for(network, sides, 8, memory + 1, pixels=10**6, share=1) == 24
    assert rows_for(network, sides, 8, bytes_in_strips(network, sides, 8) - 1, pixels=10**6, share=1) is None
