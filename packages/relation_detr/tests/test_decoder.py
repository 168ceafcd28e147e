"""The decoder: what a layer gets, where gradients go, and what two passes share."""

import copy

import pytest
import torch
from torch import nn

from mm_relation_detr.models.decoder import RelationTransformerDecoder
from mm_relation_detr.models.deformable_detr_pp import InitialPositionDecoder, box_encoding

DIMS, HEADS, LAYERS, QUERIES = 16, 4, 3, 6
SHAPES = torch.tensor([[6, 5], [3, 2]])
TOKENS = 36


def build(kind=RelationTransformerDecoder, layers=LAYERS, **options):
    torch.manual_seed(0)
    layer = dict(
        self_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS),
        cross_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS, num_levels=2),
        ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=32),
    )
    decoder = kind(layers, layer, **{"position_relation": {}, **options})
    decoder.init_weights()
    decoder.box_heads = nn.ModuleList(nn.Linear(DIMS, 4) for _ in range(layers))
    return decoder


def run(decoder, **changes):
    torch.manual_seed(1)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, [4, 9, 14]] = True
    inputs = {
        "query": torch.randn(2, QUERIES, DIMS),
        "value": torch.randn(2, TOKENS, DIMS),
        "key_padding_mask": mask,
        "self_attn_mask": None,
        "reference_points": torch.rand(2, QUERIES, 4) * 0.8 + 0.1,
        "spatial_shapes": SHAPES,
        "level_start_index": torch.tensor([0, 30]),
        "valid_ratios": torch.tensor([[[1.0, 1.0]] * 2, [[0.8, 1.0]] * 2]),
    }
    return decoder(**{**inputs, **changes}, reg_branches=decoder.box_heads)


def recorded(decoder):
    """Return the pairs of boxes that the relation is asked for, and the masks that layers get."""
    pairs, masks = [], []
    decoder.position_relation_embedding.register_forward_pre_hook(lambda _module, inputs: pairs.append(inputs[:2]))
    for layer in decoder.layers:
        layer.register_forward_pre_hook(
            lambda _module, _inputs, arguments: masks.append(arguments["self_attn_mask"]), with_kwargs=True
        )
    return pairs, masks


def test_the_relation_is_of_successive_layers_boxes():
    decoder = build()
    pairs, masks = recorded(decoder)
    initial = torch.rand(2, QUERIES, 4)
    _, boxes = run(decoder, reference_points=initial)
    assert len(pairs) == LAYERS - 1
    assert torch.equal(pairs[0][0], initial)
    assert torch.equal(pairs[0][1], boxes[0])
    assert torch.equal(pairs[1][0], boxes[0])
    assert torch.equal(pairs[1][1], boxes[1])
    assert masks[0] is None
    relation = decoder.position_relation_embedding(boxes[0], boxes[1])
    torch.testing.assert_close(masks[2], relation.flatten(0, 1))
    assert masks[2].shape == (2 * HEADS, QUERIES, QUERIES)


def test_blocked_queries_are_not_seen_through_the_relation():
    decoder = build()
    blocked = torch.zeros(QUERIES, QUERIES, dtype=torch.bool)
    blocked[3:, :3] = True  # the last three do not see the first
    query = torch.randn(2, QUERIES, DIMS)
    changed = query.clone()
    changed[:, :3] += 1
    outputs = [run(decoder, query=one, self_attn_mask=blocked)[0] for one in (query, changed)]
    assert torch.equal(outputs[0][:, :, 3:], outputs[1][:, :, 3:])
    assert not torch.equal(outputs[0][:, :, :3], outputs[1][:, :, :3])


@pytest.mark.parametrize("options", [{"use_relation": False}, {"position_relation": None}])
def test_without_the_relation_a_pass_is_the_one_that_skips_it(options):
    plain, without = build(), build(**options)
    without.load_state_dict(plain.state_dict(), strict=False)
    skipped = run(plain, skip_relation=True)
    assert all(map(torch.equal, skipped, run(without)))
    assert not torch.equal(skipped[0], run(plain)[0])


def test_an_unused_relation_stays_as_it_is():
    decoder = build(use_relation=False).train()
    relation = decoder.position_relation_embedding
    before = copy.deepcopy(relation.state_dict())
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=0.1, weight_decay=0.5)
    states, boxes = run(decoder)
    (states.sum() + boxes.sum()).backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in relation.state_dict().items())
    # none that distributed training would wait for
    assert not [name for name, one in decoder.named_parameters() if one.requires_grad and one.grad is None]
    assert all(parameter.requires_grad for parameter in build().position_relation_embedding.parameters())


def test_one_layer_holds_nothing_that_distributed_training_would_wait_for():
    decoder = build(layers=1).train()
    states, boxes = run(decoder)
    (states.sum() + boxes.sum()).backward()
    frozen = {name.split(".")[0] for name, one in decoder.named_parameters() if not one.requires_grad}
    assert frozen == {"position_relation_embedding", "query_scale"}
    assert not [name for name, one in decoder.named_parameters() if one.requires_grad and one.grad is None]


def test_values_projected_before_give_the_same():
    decoder = build()
    value, mask = torch.randn(2, TOKENS, DIMS), torch.rand(2, TOKENS) < 0.2
    given = {"value": value, "key_padding_mask": mask}
    values = decoder.project(value, mask)
    calls = []
    for layer in decoder.layers:
        layer.cross_attn.value_proj.register_forward_pre_hook(lambda *_: calls.append(1))
    shared = run(decoder, **given, values=values)
    assert not calls
    assert all(map(torch.equal, shared, run(decoder, **given)))


def test_looking_forward_twice_reaches_the_layer_before_only():
    decoder = build().train()
    _, boxes = run(decoder)
    boxes[2].sum().backward()
    assert [bool(head.weight.grad.any()) for head in decoder.box_heads] == [False, True, True]


def test_looking_forward_once_stays_in_its_layer():
    decoder = build(look_forward_twice=False).train()
    _, boxes = run(decoder)
    boxes[2].sum().backward()
    assert [bool(head.weight.grad.any()) for head in decoder.box_heads] == [False, False, True]


def test_references_are_refined_from_queries_without_the_norm():
    decoder = build()
    seen = []
    decoder.layers[1].register_forward_pre_hook(
        lambda _module, _inputs, arguments: seen.append(arguments["reference_points"]), with_kwargs=True
    )
    queries = []
    decoder.layers[0].register_forward_hook(lambda _module, _inputs, output: queries.append(output))
    initial = torch.rand(2, QUERIES, 4) * 0.8 + 0.1
    states, boxes = run(decoder, reference_points=initial, valid_ratios=torch.ones(2, 2, 2))
    head = decoder.box_heads[0]
    torch.testing.assert_close(seen[0][:, :, 0], (head(queries[0]) + initial.logit()).sigmoid())
    torch.testing.assert_close(boxes[0], (head(states[0]) + initial.logit()).sigmoid())


@pytest.mark.parametrize("options", [{}, {"head_norm": False, "look_forward_twice": False}])
def test_layers_computed_again_change_nothing(options):
    plain = build(**options).train()
    again = copy.deepcopy(plain)
    again.with_cp = True
    calls = []
    again.layers[1].register_forward_pre_hook(lambda *_: calls.append(1))
    for decoder in (plain, again):
        states, boxes = run(decoder)
        (states.square().sum() + boxes.sum()).backward()
    for (name, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert one.grad.abs().sum() > 0, name
        torch.testing.assert_close(one.grad, other.grad)
    assert len(calls) == 2


def test_states_are_what_the_class_heads_take():
    with_norm, without = build(), build(head_norm=False)
    mean, deviation = (getattr(run(with_norm)[0], name)(-1) for name in ("mean", "std"))
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-6, rtol=0)
    assert deviation.min() > 0.9
    outputs = []
    without.layers[-1].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    assert torch.equal(run(without)[0][-1], outputs[0])


def test_layers_of_deformable_detr_share_the_initial_position():
    decoder, seen = build(InitialPositionDecoder, query_scale=False), []
    for layer in decoder.layers:
        layer.register_forward_pre_hook(
            lambda _module, _inputs, arguments: seen.append(arguments["query_pos"]), with_kwargs=True
        )
    initial = torch.rand(2, QUERIES, 4)
    run(decoder, reference_points=initial)
    expected = decoder.ref_point_head(box_encoding(initial, DIMS))
    assert len(seen) == LAYERS
    assert all(torch.equal(one, expected) for one in seen)


def test_another_number_of_heads_is_refused():
    with pytest.raises(ValueError, match="num_heads=8, the decoder's self-attention has 4: leave num_heads out"):
        build(position_relation={"num_heads": 8})
