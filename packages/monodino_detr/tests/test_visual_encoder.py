"""The encoder and its tables: cells, levels, first weights, and layers computed again."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import nn

from mm_monodino_detr.models.level_tables import level_tables
from mm_monodino_detr.models.visual_encoder import VisualEncoder
from mmrepro.testing import SplitAdapter

bounds = SplitAdapter(Path(__file__).resolve().parent, {}).part("xavier_bounds")
SIZES = ((8, 12), (4, 6), (2, 3))


def maps(dims=16):
    torch.manual_seed(1)
    return [torch.randn(2, dims, *size) for size in SIZES]


def encoder(**settings):
    torch.manual_seed(0)
    small = dict(num_layers=2, embed_dims=16, num_heads=4, feedforward_channels=24, dropout=0.0)
    model = VisualEncoder(**(small | settings))
    model.init_weights()
    return model


def test_tables_are_those_of_the_cells():
    levels = level_tables(maps(), 16)
    assert levels.shapes.tolist() == [list(size) for size in SIZES]
    assert levels.starts.tolist() == [0, 96, 120]
    assert levels.centres.shape == (1, 126, 1, 2)
    torch.testing.assert_close(levels.centres[0, 96 + 7, 0], torch.tensor([1.5 / 6, 1.5 / 4]))  # row 1, column 1
    for size, position in zip(SIZES, levels.positions, strict=True):
        expected = SinePositionalEncoding(8, normalize=True)(torch.zeros(1, *size, dtype=torch.bool))
        assert torch.equal(position, expected)


def test_levels_are_told_apart_and_cells_keep_their_order():
    """By the first layer's attention: what it is asked with has the level's vector, what it reads has not."""
    model, given, seen = encoder(), maps(), []
    model.layers[0].self_attn.register_forward_pre_hook(lambda _, __, told: seen.append(told), with_kwargs=True)
    levels = level_tables(given, 16)
    memory = model(given, levels)
    assert memory.tokens.shape == (2, 126, 16)
    told = seen[0]
    cells = slice(96, 120)  # of the second level
    assert torch.equal(told["value"][:, cells], given[1].flatten(2).mT)
    expected = levels.positions[1].flatten(2).mT + model.level_embed[1]
    torch.testing.assert_close(told["query_pos"][:, cells], expected)


def test_layers_computed_again_change_nothing():
    plain = encoder().train()
    again = copy.deepcopy(plain)
    again.with_cp = True
    levels, calls = level_tables(maps(), 16), ([], [])
    for model, seen in zip((plain, again), calls, strict=True):
        model.layers[0].ffn.register_forward_hook(lambda *_, seen=seen: seen.append(1))
    outputs = [model(maps(), levels).tokens for model in (plain, again)]
    torch.testing.assert_close(*outputs)
    for model, output in zip((plain, again), outputs, strict=True):
        output.square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    assert [len(seen) for seen in calls] == [1, 2]
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_first_samples_lie_on_a_grid_around_the_cell():
    attention = encoder().layers[0].self_attn
    assert not attention.sampling_offsets.weight.any()
    assert not attention.attention_weights.weight.any()
    assert attention.sampling_offsets.bias.abs().max() == 4  # the fourth point is four pixels away
    assert attention.value_proj.weight.any()


def test_matrices_start_xavier_uniform():
    bounds.assert_all_xavier_uniform(encoder(num_layers=1, embed_dims=64, feedforward_channels=48), 4)


def test_levels_start_standard_normal():
    assert encoder(num_layers=1, embed_dims=256).level_embed.std().item() == pytest.approx(1, rel=0.1)


def test_an_init_cfg_comes_after_the_first_weights_and_a_second_call_changes_nothing():
    model = VisualEncoder(num_layers=1, init_cfg=dict(type="Constant", layer="LayerNorm", val=0.5))
    model.init_weights()
    norms = [one for one in model.modules() if isinstance(one, nn.LayerNorm)]
    assert len(norms) == 2
    assert all((one.weight == 0.5).all() for one in norms)
    nn.init.zeros_(model.level_embed)
    model.init_weights()
    assert not model.level_embed.any()
