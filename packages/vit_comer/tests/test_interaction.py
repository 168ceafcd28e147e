"""The exchange between convolutional tokens and the ViT: its steps, its switches, checkpointing with batch norm."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mm_vit_comer.models.interaction import CTIToC, CTIToV, Interaction
from mmrepro.dense.interaction_sizes import InteractionSizes
from mmrepro.dense.token_levels import token_levels

SIZES = InteractionSizes(16, num_heads=2, num_points=2)


@pytest.fixture
def levels():
    return token_levels(4, 6, torch.zeros(1))


def tokens(batch=2):
    torch.manual_seed(1)
    return torch.randn(batch, 24, 16), torch.randn(batch, 126, 16)


def drawn(module):
    """Weights that let every part show; those of fresh attention and scales are zero."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def test_the_vit_gets_the_sum_of_three_levels_at_its_own_size(levels):
    part, (x, c) = drawn(CTIToV(SIZES)).eval(), tokens()
    gathered = part.add_ffn(part.attend(c, c, levels), levels)
    sizes = ((8, 12), (4, 6), (2, 3))
    pieces = zip(gathered.split([96, 24, 6], 1), sizes, (0.5, 1, 2), strict=True)
    maps = [
        F.interpolate(one.transpose(1, 2).reshape(2, 16, *size), scale_factor=factor, mode="bilinear")
        for one, size, factor in pieces
    ]
    expected = x + part.gamma * sum(maps).flatten(2).transpose(1, 2)
    assert torch.allclose(part(x, c, levels), expected, atol=1e-5)


def test_a_fresh_exchange_leaves_the_vit_as_it_is(levels):
    x, c = tokens()
    assert torch.equal(CTIToV(SIZES)(x, c, levels), x)


def test_the_residual_of_the_exchange_to_c_is_normalised(levels):
    part, (x, c) = CTIToC(SIZES).eval(), tokens()
    nn.init.zeros_(part.cfinter.attn.output_proj.weight)
    nn.init.zeros_(part.cfinter.ffn.fc2.weight)
    nn.init.zeros_(part.cfinter.ffn.fc2.bias)
    assert torch.allclose(part(c, x, levels), part.query_norm(levels.add_to_level_16(c, x)), atol=1e-6)


def test_without_attention_among_levels_x_is_only_added(levels):
    x, c = tokens()
    part = CTIToC(SIZES, cnn_feature_interaction=False)
    assert torch.equal(part(c, x, levels), levels.add_to_level_16(c, x))


def test_inputs_stay_as_they_are(levels):
    part, (x, c) = drawn(Interaction(SIZES, 8, extra_num=2)).eval(), tokens()
    before = x.clone(), c.clone()
    with torch.inference_mode():
        part(x, c, lambda one: one, levels)
    assert torch.equal(x, before[0])
    assert torch.equal(c, before[1])


def test_switches_leave_out_their_parts(levels):
    x, c = tokens()
    part = Interaction(SIZES, None, use_cti_to_v=False, use_cti_to_c=False)
    assert not list(part.parameters())
    out, same = part(x, c, lambda one: 2 * one, levels)
    assert torch.equal(out, 2 * x)
    assert same is c
    with pytest.raises(ValueError, match="use_cti_to_v=True needs the MRFP"):
        Interaction(SIZES, None)


def test_checkpointing_gives_the_same_outputs_gradients_and_statistics(levels):
    results = []
    for with_cp in (False, True):
        sizes = InteractionSizes(16, num_heads=2, num_points=2, drop_path=0.5)
        part = drawn(Interaction(sizes, 8, extra_num=1, with_cp=with_cp)).train()
        x, c = (one.requires_grad_() for one in tokens())
        out_x, out_c = part(x, c, lambda one: 2 * one, levels)
        (out_x.square().sum() + out_c.square().sum()).backward()
        gradients = [one.grad for one in (x, c, *part.parameters())]
        results.append([out_x, out_c, *gradients, *part.buffers()])
        assert part.mrfp.dwconv.bn1.num_batches_tracked == 1
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_checkpointing_keeps_less_for_the_backward_pass(levels):
    def kept(with_cp):
        part, (x, c) = drawn(Interaction(SIZES, 32, extra_num=2, with_cp=with_cp)).train(), tokens()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one: sizes.append(one.numel()) or one, lambda one: one):
            part(x.requires_grad_(), c.requires_grad_(), lambda one: one, levels)
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_attention_begins_as_in_deformable_detr():
    attention = SIZES.attention()
    assert attention.sampling_offsets.weight.abs().max() == attention.attention_weights.weight.abs().max() == 0
    offsets = attention.sampling_offsets.bias.view(2, 3, 2, 2)  # (h, L, P, 2)
    assert torch.allclose(offsets[1, 2, 1], torch.tensor([-2.0, 0.0]), atol=1e-6)
