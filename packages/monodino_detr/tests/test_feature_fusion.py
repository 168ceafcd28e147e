"""The fusion block: sizes of its maps, the order of tokens, and its first weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mm_monodino_detr.models.feature_fusion import HierarchicalFeatureFusion
from mmrepro.testing import SplitAdapter

assert_xavier_uniform = SplitAdapter(Path(__file__).resolve().parent, {}).part("xavier_bounds").assert_xavier_uniform


def fusion():
    torch.manual_seed(0)
    return HierarchicalFeatureFusion(in_channels=6, mid_channels=(8, 16), out_channels=16, num_groups=4)


def test_maps_have_four_two_and_one_times_the_grid():
    maps = fusion()([torch.randn(2, 15, 6) for _ in range(3)], (3, 5))
    assert [tuple(one.shape) for one in maps] == [(2, 16, 12, 20), (2, 16, 6, 10), (2, 16, 3, 5)]


def test_tokens_are_rows_of_the_grid():
    neck, tokens = fusion(), torch.randn(1, 15, 6)
    conv, norm = neck.input_proj[2]
    image = tokens.view(1, 3, 5, 6).permute(0, 3, 1, 2)
    torch.testing.assert_close(neck([tokens] * 3, (3, 5))[2], norm(conv(image)))


def test_only_the_first_convolutions_are_drawn_anew():
    neck = fusion()
    before = {name: one.clone() for name, one in neck.state_dict().items()}
    for level in neck.input_proj:
        nn.init.ones_(level[0].bias)
    neck.init_weights()
    changed = {name for name, one in neck.state_dict().items() if not torch.equal(one, before[name])}
    first = {f"input_proj.{level}.0.{part}" for level in range(3) for part in ("weight", "bias")}
    assert changed == first
    assert not any(level[0].bias.any() for level in neck.input_proj)
    for level in neck.input_proj:
        assert_xavier_uniform(level[0].weight)


def test_another_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="tokens of 3 blocks, it was given 4"):
        fusion()([torch.randn(1, 4, 6)] * 4, (2, 2))
