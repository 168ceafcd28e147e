"""The decoder: the chain of boxes and its gradients, what padding may not change, and how weights start."""

import copy
import math

import pytest
import torch
from mmdet.models.layers import DeformableDetrTransformerDecoder, inverse_sigmoid
from torch import nn
from torch.nn import functional as F

from mm_vidt.models.decoder import Memory, ViDTDecoder

DIMS, HEADS, LAYERS, QUERIES = 16, 4, 3, 6
SIZES = ((6, 5), (3, 2))


def build(**options):
    torch.manual_seed(0)
    settings = dict(embed_dims=DIMS, num_heads=HEADS, num_levels=2, feedforward_channels=32, dropout=0.0)
    decoder = ViDTDecoder(LAYERS, **{**settings, **options})
    decoder.init_weights()
    for layer in decoder.layers:  # which start without any direction of their own
        nn.init.normal_(layer.cross_attn.sampling_offsets.weight, std=0.3)
        nn.init.normal_(layer.cross_attn.attention_weights.weight)
    decoder.branches = nn.ModuleList(nn.Linear(DIMS, 4) for _ in range(LAYERS + 1))
    return decoder


def memory_of(maps, masks):
    shapes = torch.tensor([one.shape[-2:] for one in maps])
    ratios = [torch.stack([(~one[:, 0]).float().mean(1), (~one[:, :, 0]).float().mean(1)], 1) for one in masks]
    return Memory(
        torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1),
        torch.cat([one.flatten(1) for one in masks], 1),
        shapes,
        torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]]),
        torch.stack(ratios, 1),
    )


def make_maps():
    torch.manual_seed(1)
    return [torch.randn(2, DIMS, *size) for size in SIZES]


def unpadded():
    maps = make_maps()
    return memory_of(maps, [torch.zeros(2, *one.shape[-2:], dtype=torch.bool) for one in maps])


def run(decoder, memory=None, **options):
    torch.manual_seed(2)
    query, query_pos, points = torch.randn(2, QUERIES, DIMS), torch.randn(1, QUERIES, DIMS), torch.rand(1, QUERIES, 2)
    given = {"query": query, "query_pos": query_pos, "reference_points": points, **options}
    return decoder(memory=unpadded() if memory is None else memory, reg_branches=decoder.branches, **given)


def test_boxes_move_those_of_the_level_before():
    decoder = build()
    points = torch.rand(1, QUERIES, 2)
    states, boxes = run(decoder, reference_points=points)
    assert (states.shape, boxes.shape) == ((LAYERS + 1, 2, QUERIES, DIMS), (LAYERS + 1, 2, QUERIES, 4))
    first = decoder.branches[0](states[0]) + F.pad(inverse_sigmoid(points), (0, 2))
    torch.testing.assert_close(boxes[0], first.sigmoid())
    for level in range(1, LAYERS + 1):
        moved = decoder.branches[level](states[level]) + inverse_sigmoid(boxes[level - 1])
        torch.testing.assert_close(boxes[level], moved.sigmoid())


def test_without_refinement_all_boxes_are_at_the_points():
    decoder = build()
    points = torch.rand(1, QUERIES, 2)
    states, boxes = run(decoder, reference_points=points, with_box_refine=False)
    for level, (state, branch) in enumerate(zip(states, decoder.branches, strict=True)):
        expected = (branch(state) + F.pad(inverse_sigmoid(points), (0, 2))).sigmoid()
        torch.testing.assert_close(boxes[level], expected)


@pytest.mark.parametrize("refine", [True, False])
def test_layers_compute_what_mmdets_decoder_does(refine):
    decoder = build().eval()
    states, boxes = run(decoder, with_box_refine=refine)
    torch.manual_seed(2)
    query, query_pos, points = torch.randn(2, QUERIES, DIMS), torch.randn(1, QUERIES, DIMS), torch.rand(1, QUERIES, 2)
    attention = dict(embed_dims=DIMS, num_heads=HEADS, dropout=0.0, batch_first=True)
    mmdets = DeformableDetrTransformerDecoder(
        num_layers=LAYERS,
        layer_cfg=dict(
            self_attn_cfg=dict(attention),
            cross_attn_cfg=dict(attention, num_levels=2),
            ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=32),
        ),
        return_intermediate=True,
        post_norm_cfg=None,
    ).eval()
    mmdets.load_state_dict({name: one for name, one in decoder.state_dict().items() if "branches" not in name})
    memory = unpadded()
    expected, refined = mmdets(
        query=query,
        query_pos=query_pos.expand(2, -1, -1),
        value=memory.tokens,
        key_padding_mask=memory.padding,
        reference_points=boxes[0].detach() if refine else points.expand(2, -1, -1),
        spatial_shapes=memory.shapes,
        level_start_index=memory.starts,
        valid_ratios=memory.valid_ratios,
        reg_branches=decoder.branches[1:] if refine else None,
    )
    torch.testing.assert_close(states[1:], expected, rtol=1e-5, atol=1e-5)
    if refine:
        torch.testing.assert_close(boxes[1:], refined, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("refine", [True, False])
def test_a_box_has_no_gradient_from_later_levels_boxes(refine):
    decoder = build()
    points = torch.rand(1, QUERIES, 2).requires_grad_()
    _, boxes = run(decoder, reference_points=points, with_box_refine=refine)
    boxes[-1].sum().backward()
    assert not any(branch.weight.grad.any() for branch in decoder.branches[:-1])
    assert decoder.branches[-1].weight.grad.any()
    assert points.grad.any() != refine  # boxes are detached on their way to the next layer, points never


def test_what_lies_in_the_padding_changes_nothing():
    decoder, maps = build(), make_maps()
    masks = [torch.zeros(2, *size, dtype=torch.bool) for size in SIZES]
    masks[0][1, 4:] = masks[0][1, :, 3:] = masks[1][1, :, 1:] = True
    before = run(decoder, memory_of(maps, masks))
    for one, mask in zip(maps, masks, strict=True):
        one.masked_fill_(mask[:, None], 7.0)
    after = run(decoder, memory_of(maps, masks))
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    other = run(decoder, unpadded())
    assert not torch.allclose(other[1], after[1])


@pytest.mark.parametrize("refine", [True, False])
def test_maps_on_a_larger_canvas_give_the_same_states_and_boxes(refine):
    """Boxes are parts of the image, samples parts of the canvas; the valid ratios are between them."""
    decoder, maps = build(), make_maps()
    masks = [F.pad(torch.zeros(2, *size, dtype=torch.bool), (0, 5, 0, 3), value=True) for size in SIZES]
    larger = [F.pad(one, (0, 5, 0, 3), value=3.0) for one in maps]
    alone = run(decoder, with_box_refine=refine)
    padded = run(decoder, memory_of(larger, masks), with_box_refine=refine)
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)


def test_layers_computed_again_change_nothing():
    plain = build()
    again = copy.deepcopy(plain)
    again.with_cp = True
    for decoder in (plain, again):
        sum(one.square().sum() for one in run(decoder)).backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_dropout_is_in_all_the_official_places():
    layer = build(dropout=0.3).layers[0]
    rates = [part.p for part in layer.modules() if isinstance(part, nn.Dropout)]
    assert layer.self_attn.attn.dropout == 0.3
    # behind both attentions, and two in the feed-forward network; mmcv's one inside the first attention is off
    assert sorted(rates) == [0.0, 0.3, 0.3, 0.3, 0.3]
    decoder = build(dropout=0.3)
    trained, evaluated = run(decoder.train())[0], run(decoder.eval())[0]
    assert not torch.allclose(trained[1], evaluated[1])
    assert torch.equal(evaluated, run(build().train())[0])


def test_weights_start_as_officially():
    torch.manual_seed(0)
    decoder = ViDTDecoder(2, embed_dims=DIMS, num_heads=HEADS, num_levels=2, feedforward_channels=32)
    decoder.init_weights()
    for layer in decoder.layers:
        own, cross, ffn = layer.self_attn.attn, layer.cross_attn, layer.ffn
        parts = own.out_proj, cross.value_proj, cross.output_proj, ffn.layers[0][0], ffn.layers[1]
        for weight in (own.in_proj_weight, *(part.weight for part in parts)):
            bound = math.sqrt(6 / sum(weight.shape))
            assert 0.9 * bound < weight.abs().max() <= bound
        assert not cross.sampling_offsets.weight.any()
        assert not cross.attention_weights.weight.any()
        assert not cross.attention_weights.bias.any()
        directions = cross.sampling_offsets.bias.view(HEADS, 2, 4, 2)
        distances = directions.abs().amax(-1)
        torch.testing.assert_close(distances, torch.arange(1.0, 5).expand_as(distances))
    assert not torch.equal(decoder.layers[0].ffn.layers[1].weight, decoder.layers[1].ffn.layers[1].weight)
