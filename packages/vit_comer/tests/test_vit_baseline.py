"""The plain baseline: official keys, sizes, depths."""

from pathlib import Path

import pytest
import torch

from mm_vit_comer.models.vit_baseline import ViTBaseline
from mmrepro.testing import load_keys

KEYS = Path(__file__).resolve().parent / "parity"
TINY = {"embed_dim": 32, "depth": 4, "num_heads": 2, "pretrain_size": 64, "out_indices": (0, 1, 2, 3)}


@pytest.mark.parametrize(("name", "embed_dim", "heads"), [("det_vit_small", 384, 6), ("det_vit_base", 768, 12)])
def test_keys_and_shapes_are_the_official_ones(name, embed_dim, heads):
    (variant,) = load_keys(KEYS / f"keys_{name}.json").values()
    prefix = "backbone."
    official = {k.removeprefix(prefix): v for k, v in variant["state_dict"].items() if k.startswith(prefix)}
    with torch.device("meta"):
        network = ViTBaseline(embed_dim=embed_dim, num_heads=heads)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == official


@pytest.mark.parametrize("size", [(64, 96), (50, 33)])
def test_images_of_any_size_give_maps_at_four_strides(size):
    maps = ViTBaseline(**TINY).eval()(torch.randn(2, 3, *size))
    assert [tuple(one.shape) for one in maps] == [(2, 32, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32)]


def test_every_parameter_gets_a_gradient():
    network = ViTBaseline(**TINY)
    sum(one.square().sum() for one in network(torch.randn(2, 3, 64, 64))).backward()
    assert not [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()]


def test_each_map_depends_on_the_blocks_up_to_its_own():
    network = ViTBaseline(**TINY).eval()
    images = torch.randn(1, 3, 64, 64)
    before = network(images)
    torch.nn.init.normal_(network.blocks[2].mlp.fc2.bias)
    same = [torch.equal(first, second) for first, second in zip(before, network(images), strict=True)]
    assert same == [True, True, False, False]


@pytest.mark.parametrize("indices", [(0, 1, 2), (0, 1, 3, 2), (0, 1, 2, 4)])
def test_depths_that_the_trunk_has_not_are_refused(indices):
    with pytest.raises(ValueError, match=r"must be four of the blocks 0 to 3 in order"):
        ViTBaseline(**TINY | {"out_indices": indices})
