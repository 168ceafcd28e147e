"""The CoaT-Lite body: what it takes and gives, and that recomputing and bf16 leave its numbers."""

import pytest
import torch
from mmengine.registry import MODELS

from mm_vidt.models.coat_lite import ARCHS, ConvRelPosEnc, FactorisedAttention, ViDTCoaT

SMALL = dict(embed_dims=(8, 16, 16, 24), depths=(1, 1, 2, 2), mlp_ratios=(2, 2, 1, 1))


def body(**settings) -> ViDTCoaT:
    torch.manual_seed(2)
    built = MODELS.build(dict(type="ViDTCoaT", arch=SMALL, num_det_tokens=6, det_pos_dims=16) | settings)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return built.eval()


def batch(height: int = 75, width: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(5))
    mask = torch.zeros(2, height, width, dtype=torch.bool)
    mask[-1, height * 2 // 3 :] = True
    return pictures * ~mask[:, None], mask


@pytest.mark.parametrize(("height", "width"), [(75, 100), (64, 96), (1, 1)])
@pytest.mark.parametrize("last_merging", [False, True])
def test_maps_and_tokens_have_the_said_sizes(height, width, last_merging):
    built = body(last_merging=last_merging)
    with torch.inference_mode():
        out = built(*batch(height, width))
    assert built.out_channels == [16, 16, 24, 16][: 3 + last_merging]
    expected = [
        (2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip(built.out_channels, (8, 16, 32, 64), strict=False)
    ]
    assert [tuple(one.shape) for one in out.maps] == expected
    assert out.det.shape == (2, 6, built.det_channels) == (2, 6, 24)
    assert out.det_pos.shape == (1, 6, 16)


def test_every_parameter_gets_a_gradient():
    built = body().train()
    out = built(*batch())
    sum(one.square().sum() for one in (*out.maps, out.det, out.det_pos)).backward()
    assert [name for name, parameter in built.named_parameters() if parameter.grad is None] == []


def test_padding_matters_to_the_tokens_of_a_cross_stage_alone():
    images, mask = batch()
    with torch.inference_mode():
        for stages in ((), (3,)):
            built = body(cross_stages=stages)
            masked, whole = built(images, mask), built(images, torch.zeros_like(mask))
            assert torch.equal(masked.det, whole.det) == (not stages)
            assert all(torch.equal(one, other) for one, other in zip(masked.maps, whole.maps, strict=True))


def test_factorised_attention_is_its_definition():
    torch.manual_seed(4)
    attention, crpe, tokens = FactorisedAttention(16, 8), ConvRelPosEnc(16), torch.randn(2, 7, 16)
    with torch.inference_mode():
        query, key, value = attention.qkv(tokens).view(2, 7, 3, 8, 2).unbind(2)
        expected = torch.einsum("bnhk,bmhk,bmhv->bnhv", query, key.softmax(1), value) * 2**-0.5
        image = value[:, 1:].reshape(2, 2, 3, 16).permute(0, 3, 1, 2)
        convolved = torch.cat(
            [conv(part) for conv, part in zip(crpe.conv_list, image.split([4, 6, 6], 1), strict=True)], 1
        )
        expected[:, 1:] += query[:, 1:] * convolved.permute(0, 2, 3, 1).reshape(2, 6, 8, 2)
        expected = attention.proj(expected.flatten(2))
        torch.testing.assert_close(attention.attend_patches(tokens, (2, 3), crpe), expected)
    assert [conv.kernel_size[0] for conv in crpe.conv_list] == [3, 5, 7]


def test_recomputing_blocks_gives_the_same_numbers():
    results, calls = [], ([], [])
    for with_cp in (False, True):
        built = body(with_cp=with_cp, drop_path_rate=0.5).train()
        built.serial_blocks3[1].mlp.register_forward_hook(lambda *_, seen=calls[with_cp]: seen.append(1))
        out = built(*batch())
        sum(one.square().sum() for one in (*out.maps, out.det)).backward()
        results.append([*out.maps, out.det, *(parameter.grad for parameter in built.parameters())])
    assert [len(seen) for seen in calls] == [2, 4]
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_bf16_stays_close():
    built, given = body(), batch()
    with torch.inference_mode():
        expected = built(*given)
        with torch.autocast("cpu", torch.bfloat16):
            actual = built(*given)
    for one, wanted in zip((*actual.maps, actual.det), (*expected.maps, expected.det), strict=True):
        assert (one - wanted).norm() < 0.05 * wanted.norm()


@pytest.mark.parametrize("arch", ARCHS)
def test_each_size_is_built_without_memory(arch):
    with torch.device("meta"):
        built = ViDTCoaT(arch)
    assert all(parameter.is_meta for parameter in built.parameters())
    assert not list(built.buffers())


def test_weights_start_as_officially():
    torch.manual_seed(2)
    built = ViDTCoaT(SMALL)
    built.init_weights()
    for weight in (built.det_token, built.det_exp_2.weight, built.serial_blocks4[1].factoratt_crpe.qkv.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert 0 < built.cls_token4.abs().max() < 0.1
    assert built.serial_blocks4[1].det_pos_linear.weight.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.05)


def test_an_unknown_arch_is_named():
    with pytest.raises(ValueError, match=r"arch='large' is unknown. Fix: one of tiny, mini, small"):
        ViDTCoaT("large")
