"""The plain ViT: attention against its formula, padded windows, stochastic depth, checkpointing."""

import pytest
import torch
from torch import nn

from mmrepro.dense.plain_vit import Attention, Block, PlainViT, WindowAttention, drop_path_rates, window_sizes

TINY = {"embed_dim": 12, "depth": 3, "num_heads": 3, "pretrain_size": 64}


def explicit(qkv, heads):
    """Attention of one window, (N, 3C), by the formula."""
    queries, keys, values = (one.unflatten(-1, (heads, -1)).transpose(0, 1) for one in qkv.chunk(3, -1))
    scores = queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5
    return (scores.softmax(-1) @ values).transpose(0, 1).flatten(1)


def test_global_attention_is_its_formula():
    attention, tokens = Attention(12, 3), torch.randn(2, 20, 12)
    expected = torch.stack([attention.proj(explicit(attention.qkv(one), 3)) for one in tokens])
    assert torch.allclose(attention(tokens, 4, 5), expected, atol=1e-6)


def test_keys_of_zero_at_the_edge_share_in_the_softmax():
    attention, tokens = WindowAttention(12, 3, window_size=3), torch.randn(1, 4 * 5, 12)
    filled = torch.zeros(6, 6, 36)
    filled[:4, :5] = attention.qkv(tokens)[0].view(4, 5, 36)
    expected = torch.zeros(6, 6, 12)
    for top in (0, 3):
        for left in (0, 3):
            part = filled[top : top + 3, left : left + 3].flatten(0, 1)
            expected[top : top + 3, left : left + 3] = explicit(part, 3).view(3, 3, 12)
    expected = attention.proj(expected[:4, :5].flatten(0, 1))
    assert torch.allclose(attention(tokens, 4, 5)[0], expected, atol=1e-6)


def test_a_window_as_large_as_the_map_is_global_attention():
    whole, inside = Attention(12, 3), WindowAttention(12, 3, window_size=4)
    inside.load_state_dict(whole.state_dict())
    tokens = torch.randn(2, 16, 12)
    assert torch.allclose(inside(tokens, 4, 4), whole(tokens, 4, 4), atol=1e-6)


def test_a_fresh_blocks_scales_change_nothing():
    block = Block(12, Attention(12, 3)).eval()
    without = Block(12, Attention(12, 3), layer_scale=False).eval()
    without.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("gamma")})
    tokens = torch.randn(1, 16, 12)
    assert torch.allclose(block(tokens, 4, 4), without(tokens, 4, 4), atol=1e-6)
    nn.init.zeros_(block.gamma1)
    nn.init.zeros_(block.gamma2)
    assert torch.equal(block(tokens, 4, 4), tokens)


def test_a_block_that_is_left_out_is_the_identity_for_whole_samples():
    torch.manual_seed(0)
    block, tokens = Block(12, Attention(12, 3), drop_path=0.5).train(), torch.randn(64, 4, 12)
    same = (block(tokens, 2, 2) == tokens).flatten(1).all(1)
    assert 4 < same.sum() < 32  # both branches of 64 samples, each with probability one half
    without = Block(12, Attention(12, 3))
    without.load_state_dict(block.state_dict())
    assert torch.equal(block.eval()(tokens, 2, 2), without(tokens, 2, 2))


def test_stochastic_depth_grows_in_equal_steps():
    assert drop_path_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0.0]


def test_windows_are_given_for_all_blocks_or_for_each():
    assert window_sizes(True, 14, 2) == [14, 14]
    assert window_sizes([True, False], [7, None], 2) == [7, None]
    with pytest.raises(ValueError, match="window_size has 3 entries, the trunk 2 blocks"):
        window_sizes(True, [7, 7, 7], 2)
    with pytest.raises(ValueError, match="block 1 has window_attn=True and window_size=None"):
        window_sizes(True, [7, None], 2)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="embed_dim=12 is no multiple of num_heads=5"):
        Attention(12, 5)


def test_tokens_are_patches_plus_positions():
    vit = PlainViT(**TINY).eval()
    nn.init.normal_(vit.pos_embed)
    images = torch.randn(1, 3, 64, 64)
    tokens, height, width = vit.embed(images)
    patch = (vit.patch_embed.proj.weight * images[0, :, 16:32, 48:64]).sum((1, 2, 3)) + vit.patch_embed.proj.bias
    assert (height, width) == (4, 4)
    assert torch.allclose(tokens[0, 4 + 3], patch + vit.pos_embed[0, 1 + 4 + 3], atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_under_autocast_positions_are_added_and_stay_in_full_precision(size):
    vit = PlainViT(**TINY).eval()
    nn.init.normal_(vit.pos_embed)
    images = torch.randn(1, 3, *size)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        tokens, height, width = vit.embed(images)
        patches = vit.patch_embed(images)[0]
        after = vit.run_blocks(tokens, height, width, 0, 2)
    assert (tokens.dtype, patches.dtype, after.dtype) == (torch.float32, torch.bfloat16, torch.float32)
    assert torch.equal(tokens, patches.float() + vit._positions.resized(vit.pos_embed, height, width))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_keeps_it(dtype):
    vit = PlainViT(**TINY).to(dtype).eval()
    assert vit.embed(torch.randn(1, 3, 96, 64, dtype=dtype))[0].dtype == dtype


def test_checkpointed_blocks_give_the_same_outputs_and_gradients():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        vit = PlainViT(**TINY, drop_path_rate=0.5, window_attn=True, window_size=3, with_cp=with_cp).train()
        tokens = vit.run_blocks(*vit.embed(torch.randn(2, 3, 64, 64)), 0, 2)
        tokens.square().sum().backward()
        results.append([tokens, *(one.grad for one in vit.parameters())])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_a_run_has_both_its_ends():
    vit = PlainViT(**TINY).eval()
    start = vit.embed(torch.randn(1, 3, 64, 64))
    first = vit.run_blocks(*start, 0, 1)
    assert torch.equal(vit.run_blocks(first, *start[1:], 2, 2), vit.run_blocks(*start, 0, 2))
