"""Co-DETR's neck: strides, maps that were cropped, what it refuses. Its values are a parity case."""

import pytest
import torch
from mmengine.registry import MODELS

from mm_vit_comer.models.sfp_neck import ChannelLayerNorm, SFPWithLateral


def maps(height: int, width: int, channels: int = 8) -> list[torch.Tensor]:
    """Return five maps of an image of that size in pixels."""
    return [torch.randn(1, channels, -(-height // s), -(-width // s)) for s in (16, 4, 8, 16, 32)]


@pytest.mark.parametrize("size", [(64, 96), (65, 95), (50, 33)])
def test_maps_come_at_five_strides_for_any_image(size):
    neck = MODELS.build(dict(type="SFPWithLateral", in_channels=8, out_channels=4))
    outputs = neck(maps(*size))
    sides = [(-(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32, 64)]
    assert [output.shape for output in outputs] == [(1, 4, *side) for side in sides]


def test_the_backbones_maps_are_added():
    neck = SFPWithLateral(8, 4)
    given = maps(64, 64)
    without = neck([given[0], *map(torch.zeros_like, given[1:])])
    added = [one - other for one, other in zip(neck(given), without, strict=True)]
    for level, (lateral, one) in enumerate(zip((neck.fc11, neck.fc22, neck.fc33, neck.fc44), given[1:], strict=True)):
        torch.testing.assert_close(added[level], lateral(one), rtol=1e-5, atol=1e-5)
    assert torch.equal(added[4], torch.zeros_like(added[4]))


def test_every_weight_gets_a_gradient():
    neck = SFPWithLateral(8, 4)
    sum(output.pow(2).sum() for output in neck(maps(64, 64))).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in neck.parameters())


def test_the_channels_are_normalised_in_either_memory_layout():
    norm, x = ChannelLayerNorm(6), torch.randn(2, 6, 3, 5)
    y = norm(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(norm(x.contiguous(memory_format=torch.channels_last)), y)


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"got 4 maps\. Fix: set out_x=True"):
        SFPWithLateral(8, 4)(maps(64, 64)[1:])
    with pytest.raises(ValueError, match="6 is no multiple of 4"):
        SFPWithLateral(6, 4)
