"""BEiT's blocks: the relative bias, windows and their padding, attention without windows."""

import copy

import pytest
import torch

from mm_vit_comer.models.beit import BeitAttention, BeitBlock, BeitWindowAttention, beit_blocks, relative_bias
from mmrepro.ops.windows import partition, relative_position_index


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    """Draw every weight, those that begin at zero too."""
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return module


def plain(attention: BeitAttention, tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Attend as it is written, with a gathered bias and an explicit softmax: (B, N, C) to the same."""
    heads = attention.num_heads
    bias = torch.cat([attention.q_bias, torch.zeros_like(attention.v_bias), attention.v_bias])
    qkv = tokens @ attention.qkv.weight.T + bias
    q, k, v = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in qkv.chunk(3, -1))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    scores = scores + attention.relative_position_bias_table[index].permute(2, 0, 1)
    return attention.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_bias_is_what_the_official_index_gathers(size):
    table = torch.randn((2 * size - 1) ** 2, 3)
    gathered = table[relative_position_index(size)].permute(2, 0, 1)[None]
    assert torch.equal(relative_bias(table, size, size), gathered)


def test_a_smaller_map_has_the_bias_of_its_offsets():
    table, size = torch.randn(81, 2), 5
    whole = relative_bias(table, size, size).unflatten(3, (size, size)).unflatten(2, (size, size))
    part = relative_bias(table, 3, 4).unflatten(3, (3, 4)).unflatten(2, (3, 4))
    assert torch.equal(part, whole[:, :, :3, :4, :3, :4])


def test_windows_are_filled_up_before_the_projection():
    torch.manual_seed(0)
    attention = drawn(BeitWindowAttention(8, 2, 3))
    tokens = torch.randn(2, 4 * 5, 8)
    windows = partition(tokens.unflatten(1, (4, 5)), 3)  # (2 * 2 * 2, 9, 8), zeros at the edge
    expected = plain(attention, windows, relative_position_index(3))
    expected = expected.view(2, 2, 2, 3, 3, 8).transpose(2, 3).reshape(2, 6, 6, 8)[:, :4, :5].flatten(1, 2)
    torch.testing.assert_close(attention(tokens, 4, 5), expected, rtol=1e-5, atol=1e-5)


def test_without_windows_a_map_of_any_size_up_to_the_tables_is_attended_to_whole():
    torch.manual_seed(0)
    attention = drawn(BeitAttention(8, 2, 4))
    tokens = torch.randn(1, 3 * 4, 8)
    rows = torch.arange(16).view(4, 4)[:3].flatten()
    expected = plain(attention, tokens, relative_position_index(4)[rows][:, rows])
    torch.testing.assert_close(attention(tokens, 3, 4), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"5 x 4 tokens.*for 4 x 4.*Fix: give the backbone a larger img_size"):
        attention(torch.randn(1, 20, 8), 5, 4)


def test_a_window_as_large_as_the_map_is_no_window():
    attention = drawn(BeitWindowAttention(8, 2, 4))
    whole = BeitAttention(8, 2, 4)
    whole.load_state_dict(attention.state_dict())
    tokens = torch.randn(1, 16, 8)
    torch.testing.assert_close(attention(tokens, 4, 4), whole(tokens, 4, 4))


def test_every_weight_gets_a_gradient():
    block = drawn(BeitBlock(8, BeitWindowAttention(8, 2, 3)))
    block(torch.randn(1, 20, 8), 4, 5).pow(2).sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in block.parameters())


def test_the_bias_has_the_tables_gradient():
    table = torch.randn(49, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda one: relative_bias(one, 3, 4), table)


def test_blocks_have_the_public_names_and_begin_nearly_as_the_identity():
    (block,) = beit_blocks(8, 1, 2, window_size=3)
    assert {key for key in block.state_dict() if not key.startswith(("norm", "mlp"))} == {
        *("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias", "attn.relative_position_bias_table"),
        *("attn.qkv.weight", "attn.proj.weight", "attn.proj.bias"),
    }
    assert torch.equal(block.gamma_1, torch.full((8,), 1e-6))
    (bare,) = beit_blocks(8, 1, 2, window_size=3, init_values=0.0)
    assert not any("gamma" in key for key in bare.state_dict())
    tokens = torch.randn(1, 9, 8)
    scaled = copy.deepcopy(block)
    torch.nn.init.ones_(scaled.gamma_1)
    torch.nn.init.ones_(scaled.gamma_2)
    bare.load_state_dict({key: value for key, value in scaled.state_dict().items() if "gamma" not in key})
    torch.testing.assert_close(bare(tokens, 3, 3), scaled(tokens, 3, 3))


def test_blocks_differ_in_windows_and_in_stochastic_depth():
    blocks = beit_blocks(
        8, 3, 2, drop_path_rate=0.2, window_attn=[True, True, False], window_size=[2, 3, None], img_size=64
    )
    sides = [block.attn.table_size for block in blocks]
    assert sides == [2, 3, 4]
    assert [type(block.attn) for block in blocks] == [BeitWindowAttention, BeitWindowAttention, BeitAttention]
    assert [block.drop_path.drop_prob for block in blocks] == [0.0, 0.1, 0.2]
