"""Attention on demand: the weights that the fused attention does not make, and which token they are of."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch.testing import assert_close

from mm_meta_transformer.attention import attention_weights, leading_tokens, recorded
from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.models.meta_points import MetaTransformerPointSeg
from mmrepro.engine.errors import UserError

ARCH = dict(embed_dims=16, depth=3, num_heads=2)


def classifier(pooling="cls", **encoder):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="MetaTransformerClassifier",
            tokenizer=dict(type="TextTokenizer", vocab_size=20, max_length=6),
            encoder=dict(type="MetaTransformerEncoder", arch=ARCH, **encoder),
            head=dict(type="MetaLinearHead", num_classes=3),
            pooling=pooling,
        )
    )
    model.init_weights()
    for parameter in model.parameters():  # larger than at the start, where attention is nearly even
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def batch():
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    return {"ids": ids, "padding": ids == 0}


@pytest.mark.parametrize("qkv", ["joint", "video"])
@pytest.mark.parametrize("rows", [slice(None), slice(1), slice(1, 3)])
@torch.no_grad()
def test_the_weights_are_those_that_mix_the_values(qkv, rows):
    torch.manual_seed(0)
    encoder = MetaTransformerEncoder(ARCH, qkv=qkv).double()
    attention = encoder.blocks[0].attn
    for parameter in attention.parameters():
        parameter.copy_(torch.randn_like(parameter))
    tokens = torch.randn(2, 5, 16, dtype=torch.double)
    padding = torch.tensor([[False] * 5, [False, False, False, True, True]])
    attended = ~padding[:, None, None]
    weights = attention_weights(attention, tokens, attended, rows)
    values = attention.project(tokens, slice(32, None)).unflatten(-1, (2, 8)).transpose(1, 2)
    mixed = attention.proj((weights @ values).transpose(1, 2).flatten(2))
    assert_close(mixed, attention(tokens, attended, rows))
    assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights[1, ..., 3:].any()
    even = attention_weights(attention, torch.zeros_like(tokens), None, rows)
    assert_close(even, torch.full_like(even, 1 / 5))


@torch.no_grad()
def test_a_class_token_asks_alone_and_a_mean_asks_for_all_content():
    model = classifier("cls")
    expected = model(batch())
    with recorded(model, block=1) as record:
        assert_close(model(batch()), expected, rtol=0, atol=0)
        model({"ids": torch.tensor([[1, 2]])})  # only the first pass counts
    first, two, mean = record.weights(1), record.weights(2), record.weights(None)
    assert first.shape == mean.shape == (2, 2, 5)
    assert not first[1, :, 3:].any()
    module, (tokens, attended, *_) = record.attention
    assert module is model.encoder.blocks[1].attn
    every = attention_weights(module, tokens, attended, slice(None))
    assert_close(first, every[:, :, 0])
    assert_close(two, every[:, :, :2].mean(2))
    assert_close(mean[0], every[0, :, 1:].mean(1))
    assert_close(mean[1], every[1, :, 1:3].mean(1))  # two of four are padding
    assert_close(record.inputs, model.extract_tokens(batch()).tokens)
    unpadded = {"ids": batch()["ids"]}
    with recorded(model) as record:
        model(unpadded)
    last = attention_weights(*record.attention[:1], record.attention[1][0], None, slice(1, None))
    assert_close(record.weights(None), last.mean(2))


def test_nothing_stays_behind():
    model = classifier()
    with pytest.raises(RuntimeError, match="stop"), recorded(model):
        raise RuntimeError("stop")
    parts = (model.tokenizer, model.encoder, model.encoder.blocks[-1].attn)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    with recorded(model) as record:
        pass
    with pytest.raises(ValueError, match="no pass went through"):
        record.weights(1)


def test_a_block_that_is_not_there_and_mixed_graphs_are_refused():
    with (
        pytest.raises(UserError, match=r"block=3: the encoder has 3 blocks\. Fix: a number from 0 to 2"),
        recorded(classifier(), 3),
    ):
        pass
    graphs = dict(
        type="MetaTransformerGraphRegressor",
        tokenizer=dict(type="GraphTokenizer", num_atoms=9, num_edges=9, lap_dims=2),
        encoder=dict(type="MetaTransformerEncoder", arch=ARCH),
    )
    with (
        pytest.raises(UserError, match="between the graphs of a batch"),
        recorded(MODELS.build(dict(graphs, official_compat=True))),
    ):
        pass
    assert leading_tokens(MODELS.build(graphs)) == 1


def test_the_attention_is_that_of_the_tokens_that_the_head_reads():
    found = [leading_tokens(classifier(pooling)) for pooling in ("cls", "first2", "mean")]
    assert found == [1, 2, None]
    clouds, points = classifier(), MetaTransformerPointSeg.__new__(MetaTransformerPointSeg)
    clouds.pooling = "cls,max,avg"  # as a MetaTransformerPointCls has it
    torch.nn.Module.__init__(points)
    points.pooling = "cls"
    assert [leading_tokens(model) for model in (clouds, points)] == [None, None]
