"""The attentions: mmcv's results from mmcv's parameters, without its extra work."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from torch.nn import functional as F

from mm_relation_detr.models.attention_layers import BiasedSelfAttention, RelationDecoderLayer, SharedValueAttention
from mmrepro.ops import MultiScaleDeformableAttention

DIMS, HEADS, QUERIES = 16, 4, 7
SHAPES = torch.tensor([[6, 5], [3, 2]])
STARTS = torch.tensor([0, 30])


def twins(kind, base, **settings):
    torch.manual_seed(0)
    ours, theirs = (one(DIMS, HEADS, batch_first=True, **settings) for one in (kind, base))
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("mask", ["none", "blocked", "bias"])
def test_self_attention_is_that_of_mmcv(mask):
    ours, theirs = twins(BiasedSelfAttention, MultiheadAttention)
    query, position = torch.randn(2, QUERIES, DIMS), torch.randn(2, QUERIES, DIMS)
    bias = torch.randn(2 * HEADS, QUERIES, QUERIES).masked_fill(torch.eye(QUERIES).roll(1, 0).bool(), -torch.inf)
    attn_mask = {"none": None, "blocked": bias[0].isinf(), "bias": bias}[mask]
    expected = theirs(query, query, query, query_pos=position, key_pos=position, attn_mask=attn_mask)
    torch.testing.assert_close(ours(query, query_pos=position, attn_mask=attn_mask), expected)


def test_a_bias_of_a_head_is_for_that_head(monkeypatch):
    ours, _ = twins(BiasedSelfAttention, MultiheadAttention)
    bias = torch.zeros(2 * HEADS, QUERIES, QUERIES)
    bias[HEADS + 2] = torch.randn(QUERIES, QUERIES)
    query, seen = torch.randn(2, QUERIES, DIMS), []
    attend = F.scaled_dot_product_attention

    def spy(q, k, v, attn_mask=None, *args, **kwargs):
        seen.append(attn_mask)
        return attend(q, k, v, attn_mask, *args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", spy)
    ours(query, attn_mask=bias)
    (mask,) = seen  # no other way, which would average the weights over heads
    assert torch.equal(mask[1, 2], bias[HEADS + 2])


def test_values_projected_before_are_attended_to_as_they_are():
    ours, core = twins(SharedValueAttention, MultiScaleDeformableAttention, num_levels=2, dropout=0.0)
    query, value = torch.randn(2, QUERIES, DIMS), torch.randn(2, 36, DIMS)
    boxes, mask = torch.rand(2, QUERIES, 2, 4), torch.rand(2, 36) < 0.3
    expected = core.attend(query, value, boxes, SHAPES, STARTS, mask)
    projected = ours.project(value, mask)
    assert not projected[mask].any()
    assert torch.equal(ours.attend(query, value, boxes, SHAPES, STARTS, mask), expected)
    assert torch.equal(ours.attend(query, projected, boxes, SHAPES, STARTS), expected)


def test_dropout_of_another_model_is_not_taken_over(monkeypatch):
    """mmcv writes the dropout that it is given into the default of all attentions."""
    (shared,) = (one for one in MultiheadAttention.__init__.__defaults__ if isinstance(one, dict))
    monkeypatch.setitem(shared, "drop_prob", shared["drop_prob"])  # restored afterwards
    with pytest.warns(DeprecationWarning, match="dropout"):
        MultiheadAttention(DIMS, HEADS, dropout=0.3)
    assert shared["drop_prob"] == 0.3
    layer = RelationDecoderLayer(
        self_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS),
        cross_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS),
        ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=32),
    )
    assert layer.self_attn.attn.dropout == 0
    rates = [module.p for module in layer.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates
    assert not any(rates)
