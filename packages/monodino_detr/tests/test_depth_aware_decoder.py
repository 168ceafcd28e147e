"""The decoder: groups, references, positions, moved boxes and their gradients, first weights."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.models.layers import MLP
from torch import nn
from torch.nn.functional import linear, logsigmoid

from mm_monodino_detr.models.depth_aware_decoder import (
    DepthAwareDecoder,
    DepthAwareDecoderLayer,
    encode_boxes,
    move_boxes,
    sampling_boxes,
)
from mm_monodino_detr.models.queries import BoxQueries, PointQueries
from mm_monodino_detr.models.visual_encoder import Memory
from mmrepro.testing import SplitAdapter

bounds = SplitAdapter(Path(__file__).resolve().parent, {}).part("xavier_bounds")
DIMS, QUERIES, GROUPS = 16, 3, 4
SHAPES = torch.tensor([[8, 12], [4, 6], [2, 3]])
SMALL = dict(embed_dims=DIMS, num_heads=2, feedforward_channels=24, dropout=0.0)


@pytest.fixture(autouse=True)
def _in_double_precision():
    """Float32 rounds all queries and a group of them in other blocks."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def decoder_layer():
    torch.manual_seed(0)
    return DepthAwareDecoderLayer(**SMALL).double()  # mmcv draws some of its weights in float32


def scene():
    torch.manual_seed(1)
    return Memory(torch.randn(2, 126, DIMS), SHAPES, torch.tensor([0, 96, 120])), torch.randn(2, 7, DIMS)


def decoder(use_dab=True, **settings):
    torch.manual_seed(0)
    model = DepthAwareDecoder(num_layers=2, use_dab=use_dab, **(SMALL | settings))
    model.init_weights()
    for layer in model.layers:
        nn.init.normal_(layer.cross_attn.sampling_offsets.weight, std=0.1)
    branches = nn.ModuleList(MLP(DIMS, DIMS, 6, 3) for _ in range(2))
    queries = (BoxQueries if use_dab else PointQueries)(QUERIES, GROUPS, DIMS)
    return model.double(), branches, queries


def layer_inputs(queries):
    memory, depth = scene()
    return torch.randn(2, queries, DIMS), torch.randn(2, queries, DIMS), torch.rand(2, queries, 6), memory, depth


def test_groups_do_not_see_each_other():
    layer = decoder_layer()
    query, positions, references, memory, depth = layer_inputs(QUERIES * GROUPS)
    together = layer(query, positions, references, memory, depth, GROUPS)
    for group in range(GROUPS):
        part = slice(group * QUERIES, (group + 1) * QUERIES)
        alone = layer(query[:, part], positions[:, part], references[:, part], memory, depth)
        torch.testing.assert_close(together[:, part], alone)
    assert (layer(query, positions, references, memory, depth) - together).abs().max() > 1e-3


def test_self_attention_projects_the_same_positioned_queries_twice():
    layer = decoder_layer()
    query, positions, *_ = layer_inputs(QUERIES)
    place = query + positions
    queries = layer.sa_qcontent_proj(place) + layer.sa_qpos_proj(place)
    keys = layer.sa_kcontent_proj(place) + layer.sa_kpos_proj(place)
    expected = layer.self_attn(queries, keys, query)[0]
    torch.testing.assert_close(layer._attend_within_groups(query, positions, 1), expected)


def test_positions_take_no_part_in_the_attention_to_depth():
    layer = decoder_layer()
    seen = []
    layer.cross_attn_depth.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    query, positions, references, memory, depth = layer_inputs(QUERIES)
    layer(query, positions, references, memory, depth)
    assert torch.equal(seen[0], query)


def test_boxes_are_encoded_by_coordinate_with_the_row_first():
    boxes = torch.rand(1, 1, 6)
    parts = encode_boxes(boxes, 8).view(6, 8)
    for part, coordinate in zip(parts, boxes[0, 0, [1, 0, 2, 3, 4, 5]], strict=True):
        angles = coordinate * 2 * torch.pi / 10000 ** (torch.arange(0, 8, 2) / 8)
        torch.testing.assert_close(part, torch.stack([angles.sin(), angles.cos()], 1).flatten())


def test_deformable_attention_gets_whole_sides():
    box = torch.tensor([[0.5, 0.4, 0.1, 0.2, 0.03, 0.04]])
    torch.testing.assert_close(sampling_boxes(box), torch.tensor([[0.5, 0.4, 0.3, 0.07]]))
    assert torch.equal(sampling_boxes(box[:, :2]), box[:, :2])


def test_points_have_no_sides_to_move():
    references, offsets = torch.tensor([[[0.25, 0.5]]]), torch.tensor([[[0.0, 1.0, -2.0, -1.0, 0.0, 3.0]]])
    found = move_boxes(references, offsets)
    torch.testing.assert_close(found[..., 2:], offsets[..., 2:].sigmoid())
    torch.testing.assert_close(found[..., :2], torch.tensor([[[0.25, torch.sigmoid(torch.tensor(1.0))]]]))
    whole = move_boxes(torch.full((1, 1, 6), 0.25), torch.zeros(1, 1, 6))
    torch.testing.assert_close(whole, torch.full((1, 1, 6), 0.25))


@pytest.mark.parametrize("use_dab", [True, False])
def test_a_layer_starts_from_the_boxes_before_it_without_a_gradient(use_dab):
    model, branches, queries = decoder(use_dab)
    given = queries.eval()(2)
    references = given.references.detach().clone().requires_grad_()
    _, boxes = model(given._replace(references=references), *scene(), branches)
    of_last_boxes = torch.autograd.grad(boxes[1].sum(), list(branches.parameters()), retain_graph=True)
    of_first, of_last = of_last_boxes[: len(of_last_boxes) // 2], of_last_boxes[len(of_last_boxes) // 2 :]
    assert not any(one.any() for one in of_first)
    assert all(one.any() for one in of_last)
    assert torch.autograd.grad(boxes[0].sum(), references)[0].any()


@pytest.mark.parametrize("use_dab", [True, False])
def test_learnt_positions_stay_and_those_of_boxes_follow(use_dab):
    model, branches, queries = decoder(use_dab)
    seen = []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    model(queries.eval()(2), *scene(), branches)
    assert torch.equal(seen[0], seen[1]) is not use_dab


@pytest.mark.parametrize("use_dab", [True, False])
def test_training_has_all_groups_and_evaluation_the_first(use_dab):
    model, branches, queries = decoder(use_dab)
    states, boxes = model(queries.train()(2), *scene(), branches, GROUPS)
    assert states.shape == (2, 2, QUERIES * GROUPS, DIMS)
    first_states, first_boxes = model(queries.eval()(2), *scene(), branches)
    torch.testing.assert_close(first_states, states[:, :, :QUERIES])
    torch.testing.assert_close(first_boxes, boxes[:, :, :QUERIES])


def test_learnt_points_are_projected_from_their_positions():
    queries = PointQueries(QUERIES, GROUPS, DIMS)
    queries.init_weights()
    assert not queries.reference_points.bias.any()
    content, positions, points = queries.eval()(2)
    rows = queries.query_embed.weight[:QUERIES]
    assert torch.equal(positions[1], rows[:, :DIMS])
    assert torch.equal(content[1], rows[:, DIMS:])
    expected = logsigmoid(linear(rows[:, :DIMS], queries.reference_points.weight)).exp()
    torch.testing.assert_close(points[0], expected)


def test_the_projection_to_points_starts_xavier_uniform():
    torch.manual_seed(0)
    queries = PointQueries(2, 1, 256)
    queries.init_weights()
    bounds.assert_xavier_uniform(queries.reference_points.weight)


def test_layers_computed_again_change_nothing():
    model, branches, queries = decoder()
    again = copy.deepcopy(model)
    again.with_cp = True
    found, calls = [], ([], [])
    for one, seen in zip((model.train(), again.train()), calls, strict=True):
        one.layers[0].ffn.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        states, boxes = one(queries.train()(2), *scene(), branches, GROUPS)
        gradients = torch.autograd.grad(states.square().sum() + boxes.sum(), list(one.parameters()))
        found.append([states, boxes, *gradients])
    assert [len(seen) for seen in calls] == [1, 2]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_matrices_start_xavier_uniform():
    torch.manual_seed(0)
    model = DepthAwareDecoder(num_layers=1, **(SMALL | dict(embed_dims=64, feedforward_channels=48)))
    model.init_weights()
    bounds.assert_all_xavier_uniform(model, 16)


def test_an_init_cfg_comes_after_the_first_weights_and_a_second_call_changes_nothing():
    model = DepthAwareDecoder(num_layers=1, **SMALL, init_cfg=dict(type="Constant", layer="LayerNorm", val=0.5))
    model.init_weights()
    norms = [one for one in model.modules() if isinstance(one, nn.LayerNorm)]
    assert len(norms) == 4
    assert all((one.weight == 0.5).all() for one in norms)
    nn.init.zeros_(model.query_scale.layers[0].weight)
    model.init_weights()
    assert not model.query_scale.layers[0].weight.any()
