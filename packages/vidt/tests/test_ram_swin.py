"""The Swin body: what it takes and gives, how it starts, and that every way of running it gives the same numbers."""

import pytest
import torch
from mmengine.registry import MODELS

from mm_vidt.models.body_keys import swin_rules
from mm_vidt.models.ram_swin import ARCHS, ViDTSwinTransformer
from mmrepro.checkpoint import KeyRules

SMALL = dict(embed_dims=8, depths=(1, 1, 2, 2), num_heads=(1, 1, 2, 2), drop_path_rate=0.2)


def body(**settings) -> ViDTSwinTransformer:
    torch.manual_seed(2)
    built = MODELS.build(dict(type="ViDTSwinTransformer", arch=SMALL, num_det_tokens=6, det_pos_dims=16) | settings)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return built.eval()


def batch(height: int = 75, width: int = 100, images: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(5))
    mask = torch.zeros(images, height, width, dtype=torch.bool)
    mask[-1, height // 3 :] = True
    return pictures * ~mask[:, None], mask


@pytest.mark.parametrize(("height", "width"), [(75, 100), (64, 96), (5, 200), (1, 1)])
@pytest.mark.parametrize("last_merging", [False, True])
def test_maps_and_tokens_have_the_said_sizes(height, width, last_merging):
    built = body(last_merging=last_merging)
    with torch.inference_mode():
        out = built(*batch(height, width))
    strides = (8, 16, 32, 64)[: 3 + last_merging]
    assert built.out_channels == [16, 32, 64, 16][: 3 + last_merging]
    expected = [
        (2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip(built.out_channels, strides, strict=True)
    ]
    assert [tuple(one.shape) for one in out.maps] == expected
    assert out.det.shape == (2, 6, built.det_channels) == (2, 6, 64)
    assert out.det_pos.shape == (1, 6, 16)
    assert all(one.isfinite().all() for one in (*out.maps, out.det))


def test_every_parameter_gets_a_gradient():
    built = body().train()
    out = built(*batch())
    sum(one.square().sum() for one in (*out.maps, out.det, out.det_pos)).backward()
    assert [name for name, parameter in built.named_parameters() if parameter.grad is None] == []


def test_padding_matters_to_the_tokens_of_a_cross_stage_alone():
    images, mask = batch()
    with torch.inference_mode():
        for stages, same in (((), True), ((3,), False), ((0, 2), False)):
            built = body(cross_stages=stages)
            masked, whole = built(images, mask), built(images, torch.zeros_like(mask))
            assert torch.equal(masked.det, whole.det) == same
            assert all(torch.equal(one, other) for one, other in zip(masked.maps, whole.maps, strict=True))


@pytest.mark.parametrize(
    ("cross_stages", "training", "sets"),
    [((3,), False, [1, 1, 1, 2]), ((1,), False, [1, 2, 2, 2]), ((), False, [1, 1, 1, 1]), ((), True, [1, 2, 2, 2])],
)
def test_tokens_are_one_set_until_patches_or_dropped_paths_tell_images_apart(cross_stages, training, sets):
    built, (images, mask), seen = body(cross_stages=cross_stages).train(training), batch(), []
    for stage in built.stages:
        stage.register_forward_hook(lambda *args: seen.append(len(args[-1][1])))
    with torch.inference_mode():
        det = built(images, mask).det
        assert seen == sets  # of the first block, in the first stage, no path is dropped
        assert len(det) == 2
        if not training:
            alone = [built(images[at : at + 1], mask[at : at + 1]).det for at in range(2)]
            torch.testing.assert_close(det, torch.cat(alone))


def test_bf16_stays_close():
    built, given = body(), batch()
    with torch.inference_mode():
        expected = built(*given)
        with torch.autocast("cpu", torch.bfloat16):
            actual = built(*given)
        half = built.bfloat16()(given[0].bfloat16(), given[1])
    for other in (actual, half):
        for one, wanted in zip((*other.maps, other.det), (*expected.maps, expected.det), strict=True):
            assert (one - wanted).norm() < 0.05 * wanted.norm()


def test_recomputing_blocks_gives_the_same_numbers():
    results = []
    for with_cp in (False, True):
        built = body(with_cp=with_cp, drop_path_rate=0.5).train()
        out = built(*batch())
        sum(one.square().sum() for one in (*out.maps, out.det)).backward()
        results.append([*out.maps, out.det, *(parameter.grad for parameter in built.parameters())])
    assert all(block.with_cp for stage in built.stages for block in stage.blocks)
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_rates_of_dropped_paths_grow_over_the_blocks():
    rates = [block.drop_path_rate for stage in body().stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])
    rates = [block.drop_path_rate for stage in body(drop_path_rate=0.5).stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("arch", ARCHS)
def test_each_size_is_built_without_memory(arch):
    with torch.device("meta"):
        built = ViDTSwinTransformer(arch)
    assert all(parameter.is_meta for parameter in built.parameters())
    assert not list(built.buffers())
    assert built.stages[-1].blocks[-1].drop_path_rate == ARCHS[arch]["drop_path_rate"]
    official = KeyRules(swin_rules("backbone.", "")).backward(built.state_dict())
    width = ARCHS[arch]["embed_dims"]
    assert official["backbone.layers.3.downsample.reduction.weight"].shape == (256, 32 * width)
    assert official["backbone.layers.2.blocks.5.mlp.fc1.weight"].shape == (16 * width, 4 * width)


def test_weights_start_as_officially():
    torch.manual_seed(2)
    built = ViDTSwinTransformer(SMALL)
    built.init_weights()
    block = built.stages[3].blocks[1]
    small = [
        built.det_token,
        built.det_pos_embed,
        block.attn.w_msa.relative_position_bias_table,
        block.ffn.layers[1].weight,
    ]
    small += [block.attn.w_msa.qkv.weight, built.stages[3].downsample.reduction.weight]
    for weight in small:
        assert weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not block.attn.w_msa.qkv.bias.any()
    assert block.det_pos_linear.weight.abs().max() <= 1 / 16  # torch's own: uniform within 256**-0.5
    assert block.det_pos_linear.weight.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.05)
    assert torch.equal(block.norm1.weight, torch.ones(64))
    assert not block.norm1.bias.any()


def test_bad_settings_and_masks_are_named():
    with pytest.raises(ValueError, match=r"arch='huge' is unknown. Fix: one of nano, tiny, small, base, large"):
        ViDTSwinTransformer("huge")
    with pytest.raises(ValueError, match=r"arch has depths. Fix: give embed_dims, depths, num_heads, drop_path_rate"):
        ViDTSwinTransformer(dict(depths=(1, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"depths=\(1, 1\) needs one entry for each of 4 stages"):
        ViDTSwinTransformer(SMALL | dict(depths=(1, 1)))
    with pytest.raises(ValueError, match=r"cross_stages=\(3, 4\): stages are 0 to 3"):
        ViDTSwinTransformer(SMALL, cross_stages=(3, 4))
    with pytest.raises(ValueError, match=r"images \(2, 3, 75, 100\) need a padding mask .*, got \(2, 75, 99\)"):
        body()(batch()[0], batch()[1][:, :, 1:])
