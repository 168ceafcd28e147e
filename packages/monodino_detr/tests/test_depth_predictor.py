"""The depth predictor: its resize, the expected depth, the embedding of depths, and gradients."""

import pytest
import torch
from torch import nn

from mm_monodino_detr.models.depth_bins import depth_bin_values
from mm_monodino_detr.models.depth_predictor import DepthEncoderLayer, DepthPredictor


def predictor(**settings):
    torch.manual_seed(0)
    return DepthPredictor(**(dict(embed_dims=32, num_heads=4, dropout=0.0) | settings))


def test_a_resize_before_changes_nothing():
    model, exact = predictor().double(), dict(dtype=torch.float64)
    relative, positions = torch.rand(2, 1, 42, 70, **exact), torch.randn(1, 32, 3, 5, **exact)
    cells = relative.unflatten(3, (5, 14)).unflatten(2, (3, 14))[..., 6:8, :, 6:8].mean((3, 5))
    for full, small in zip(model(relative, positions), model(cells, positions), strict=True):
        torch.testing.assert_close(full, small)


def test_the_expected_depth_is_that_of_the_bin_of_which_it_is_certain():
    model = predictor(num_depth_bins=7, depth_max=9.5)
    nn.init.zeros_(model.depth_classifier.weight)
    values = depth_bin_values(7, 1e-3, 9.5)
    for index in (0, 3, 7):
        nn.init.zeros_(model.depth_classifier.bias)
        nn.init.constant_(model.depth_classifier.bias[index : index + 1], 50.0)
        weighted = model(torch.rand(1, 1, 2, 2), torch.zeros(1, 32, 2, 2)).weighted
        torch.testing.assert_close(weighted, values[index].expand(1, 2, 2))


def test_depths_are_embedded_between_the_rows_of_whole_metres():
    model = predictor(depth_max=5.0)
    rows = model.depth_pos_embed.weight
    assert len(rows) == 6
    found = model.embed(torch.tensor([2.0, 2.25, 4.5, 5.0, 7.0, -1.0]))
    expected = [rows[2], 0.75 * rows[2] + 0.25 * rows[3], (rows[4] + rows[5]) / 2, rows[5], rows[5], rows[0]]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_depth_that_is_no_number_stays_none():
    """A row without a number would end a training with an index error, on a GPU without a line that says why."""
    assert predictor().embed(torch.tensor([torch.nan, 3.0])).isnan().all(1).tolist() == [True, False]


def test_the_embedding_passes_a_gradient_to_the_depth():
    model = predictor()
    depths = torch.tensor([3.25], requires_grad=True)
    model.embed(depths)[0, 5].backward()
    rows = model.depth_pos_embed.weight
    torch.testing.assert_close(depths.grad[0], (rows[4] - rows[3])[5])


def test_the_layer_is_its_definition():
    torch.manual_seed(0)
    layer, tokens, positions = DepthEncoderLayer(8, 2, 12, 0.0).eval(), torch.randn(2, 5, 8), torch.randn(1, 5, 8)
    place = tokens + positions
    one = layer.norm1(tokens + layer.self_attn(place, place, tokens)[0])
    first, last = layer.ffn.layers[0][0], layer.ffn.layers[1]
    torch.testing.assert_close(layer(tokens, positions), layer.norm2(one + last(first(one).relu())))


def test_bins_that_are_none_are_refused_when_it_is_built():
    with pytest.raises(ValueError, match="depth_min=5"):
        predictor(depth_min=5.0, depth_max=5.0)


def test_groups_of_the_norms_divide_the_channels():
    with pytest.raises(ValueError, match="embed_dims=48 of the depth predictor must be a multiple of num_groups=32"):
        predictor(embed_dims=48)
    norms = [one for one in predictor(embed_dims=48, num_groups=16).modules() if isinstance(one, nn.GroupNorm)]
    assert [one.num_groups for one in norms] == [16] * 3
