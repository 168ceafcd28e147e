"""The dense backbone: official keys and sizes, what each part does, images of any size, checkpoints both ways."""

from functools import partial

import pytest
import torch
from torch import nn

from mm_meta_transformer.checkpoint_hook import MetaTransformerCheckpointHook
from mm_meta_transformer.checkpoints import adapter
from mm_meta_transformer.dense.last_level_attention import LastLevelAttention
from mm_meta_transformer.dense.vit_adapter import ViTAdapterMeta
from mmrepro.checkpoint import CheckpointMismatchError

TINY = dict(
    arch=dict(embed_dim=16, depth=4, num_heads=2), conv_inplane=4, n_points=2, pretrain_size=64, drop_path_rate=0.0
)


def tiny(**given):
    torch.manual_seed(0)
    return ViTAdapterMeta(**TINY | given)


def show(network):
    """Give fresh weights of zero, among them the scale of the injectors, a value."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def shapes(state):
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("task", ["seg", "det"])
def test_base_has_the_measured_size(task):
    with torch.device("meta"):
        network = ViTAdapterMeta("base", task)
    assert round(sum(one.numel() for one in network.parameters()) / 1e6, 3) == 99.495
    assert all(one.requires_grad for one in network.parameters())


@pytest.mark.parametrize("given", [{}, dict(layer_scale=False, use_extra_extractor=False, deform_ratio=1.0)])
def test_sizes_show_in_the_weights(given):
    state = tiny(n_points=4, **given).state_dict()
    settings = adapter.infer_config(state)
    settings.pop("type")
    assert shapes(ViTAdapterMeta(**settings).state_dict()) == shapes(state)


def test_large_has_patches_of_16_and_four_times_six_blocks():
    with torch.device("meta"):
        network = ViTAdapterMeta("large", "det")
    assert network.patch_embed.proj.weight.shape == (1024, 3, 16, 16)
    assert network.interaction_spans == ((0, 5), (6, 11), (12, 17), (18, 23))
    windows = [getattr(block.attn, "window_size", None) for block in network.blocks]
    assert windows == 4 * [14, 14, 14, 14, 14, None]


def test_the_two_tasks_differ_in_windows_and_in_the_maps_that_are_added():
    images = torch.randn(1, 3, 64, 64)
    settings = dict(window_attn=False)
    seg, det = show(tiny(**settings)).eval(), show(tiny(variant="det", **settings)).eval()
    assert seg.invisible_settings["windows"] == det.invisible_settings["windows"]
    det.load_state_dict(seg.state_dict())
    with torch.no_grad():
        pairs = list(zip(seg(images), det(images), strict=True))
    assert all(not torch.allclose(one, other, atol=1e-3) for one, other in pairs[:3])
    assert torch.equal(*pairs[3])  # the last stage's map is the last one
    assert tiny(variant="det", interaction_indexes=[[0, 1], [2, 3]]).invisible_settings["windows"] == [14, None] * 2


def test_a_fresh_injector_leaves_the_vit_as_it_was_trained():
    network = tiny().eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        tokens, height, width = network.embed(images)
        _, c, levels = network._convolutional_tokens(images)
        blocks = partial(network.run_blocks, height=height, width=width, first=0, last=0)
        assert torch.equal(network.interactions[0](tokens, c, blocks, levels)[0], blocks(tokens))
        nn.init.ones_(network.interactions[0].injector.gamma)
        assert not torch.allclose(network.interactions[0](tokens, c, blocks, levels)[0], blocks(tokens))


@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
def test_images_of_any_size_give_maps_at_four_strides(size):
    maps = tiny().eval()(torch.randn(1, 3, *size))
    assert [tuple(one.shape) for one in maps] == [(1, 16, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32)]


def test_every_parameter_but_the_class_row_gets_a_gradient():
    network = show(tiny()).train()
    sum(one.square().sum() for one in network(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()] == []
    assert not network.pos_embed.grad[:, 0].any()


def test_recomputed_blocks_and_exchanges_give_the_same_maps_and_gradients():
    results = []
    for with_cp in (False, True):
        network = show(tiny(with_cp=with_cp, drop_path_rate=0.5, variant="det")).train()
        torch.manual_seed(1)
        maps = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        sum(one.square().sum() for one in maps).backward()
        results.append([*maps, *(one.grad for one in network.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-5 * plain.abs().max().item())


def test_a_checkpoint_of_the_other_task_is_named():
    hook = MetaTransformerCheckpointHook()
    meta = {"model": hook.settings(tiny(variant="seg", window_attn=False))}
    hook.compare(tiny(variant="seg", window_attn=False), {"meta": meta})
    with pytest.raises(CheckpointMismatchError, match=r"add_vit_feature: 'stages' in the file, 'last' in the config"):
        hook.compare(tiny(variant="det"), {"meta": meta})


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant='pan' is unknown; there are 'seg', 'det'"):
        tiny(variant="pan")


def test_the_neck_attends_in_the_last_map_alone():
    neck = LastLevelAttention(16, 2).eval()
    maps = [torch.randn(2, 16, side, side) for side in (8, 4)]
    with torch.no_grad():
        first, last = neck(maps)
        tokens = maps[1].flatten(2).transpose(1, 2)
        normed = neck.norm1(tokens)
        queries, keys, values = neck.attn.qkv(normed).chunk(3, -1)
        halves = [
            (q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v
            for q, k, v in zip(queries.split(8, 2), keys.split(8, 2), values.split(8, 2), strict=True)
        ]
        tokens = tokens + neck.attn.proj(torch.cat(halves, 2))
        tokens = neck.final_norm(tokens + neck.ffn(neck.norm2(tokens)))
    assert first is maps[0]
    torch.testing.assert_close(last, tokens.transpose(1, 2).reshape(2, 16, 4, 4), rtol=1e-5, atol=1e-5)


def test_the_recomputed_neck_is_the_same():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        neck = LastLevelAttention(16, 2, drop_path=0.5, with_cp=with_cp).train()
        one = torch.randn(4, 16, 4, 4).requires_grad_()
        last = neck([one])[-1]
        last.square().sum().backward()
        results.append([last, one.grad, *(parameter.grad for parameter in neck.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain)
