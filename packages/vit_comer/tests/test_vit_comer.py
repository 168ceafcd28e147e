"""The backbone: the three published variants, official keys and sizes, images of any size, and what is refused."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope, Registry
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mm_vit_comer.models.vit_comer import ViTCoMer
from mmrepro.ops.windows import relative_position_index
from mmrepro.testing import load_keys

KEYS = Path(__file__).resolve().parent / "parity"
TINY = {
    "arch": {"embed_dim": 24, "depth": 4, "num_heads": 3},
    "deform_num_heads": 3,
    "conv_inplane": 4,
    "n_points": 2,
    "extra_num": 1,
    "drop_path_rate": 0.0,
    "pretrain_size": 64,
}


def tiny(**given):
    torch.manual_seed(0)
    return ViTCoMer(**TINY | given)


def show(network):
    """Give fresh weights of zero, among them the scale of the exchange into the ViT, a value."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def on_meta(**given):
    with torch.device("meta"):
        return ViTCoMer(**given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("det_small", {"arch": "small"}),
        ("det_base", {"arch": "base"}),
        ("seg_tiny", {"arch": "tiny", "variant": "seg"}),
        ("seg_small", {"arch": "small", "variant": "seg"}),
        ("seg_base", {"arch": "base", "variant": "seg"}),
    ],
)
def test_presets_have_the_official_keys_and_shapes(name, given):
    (variant,) = load_keys(KEYS / f"keys_{name}.json").values()
    prefix = "backbone."
    official = {k.removeprefix(prefix): v for k, v in variant["state_dict"].items() if k.startswith(prefix)}
    assert {key: list(value.shape) for key, value in on_meta(**given).state_dict().items()} == official


@pytest.mark.parametrize(
    ("given", "millions"),
    [
        ({"arch": "small"}, 30.458),
        ({"arch": "base"}, 109.052),
        ({"arch": "tiny"}, 8.965),
        ({"arch": "tiny", "variant": "seg"}, 10.619),
        ({"arch": "small", "variant": "seg"}, 31.280),
        ({"arch": "base", "variant": "seg"}, 110.604),
        ({"arch": "large", "variant": "co-detr"}, 342.689),
    ],
)
def test_presets_have_the_reported_number_of_parameters(given, millions):
    count = sum(parameter.numel() for parameter in on_meta(**given).parameters())
    assert round(count / 1e6, 3) == pytest.approx(millions)


def test_presets_windows_are_the_published_ones():
    def windows(network):
        return [getattr(block.attn, "window_size", None) for block in network.blocks]

    assert windows(on_meta(arch="small")) == [14, 14, None] * 4
    assert windows(on_meta(arch="small", variant="seg")) == [None] * 12
    assert windows(on_meta(arch="large", variant="co-detr")) == ([14] * 5 + [56]) * 4
    assert windows(on_meta(arch="tiny", variant="seg", trunk="beit")) == [None] * 12
    assert windows(on_meta(arch="tiny", trunk="beit")) == [14, 14, None] * 4


def test_beits_blocks_without_windows_attend_to_whole_maps_of_any_size_up_to_img_size():
    network = show(tiny(variant="seg", trunk="beit", img_size=128)).eval()
    attention, tokens = network.blocks[1].attn, torch.randn(2, 4 * 6, 24)
    assert [block.attn.table_size for block in network.blocks] == [8] * 4
    rows = torch.arange(64).view(8, 8)[:4, :6].flatten()
    biases = attention.relative_position_bias_table[relative_position_index(8)[rows][:, rows]].permute(2, 0, 1)
    bias = torch.cat([attention.q_bias, torch.zeros(24), attention.v_bias])
    qkv = (tokens @ attention.qkv.weight.T + bias).unflatten(-1, (3, 3, 8)).permute(2, 0, 3, 1, 4)
    weights = (qkv[0] @ qkv[1].transpose(2, 3) * 8**-0.5 + biases).softmax(-1)
    expected = attention.proj((weights @ qkv[2]).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(tokens, 4, 6), expected, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 64, 96))[2].shape == (1, 24, 4, 6)
        with pytest.raises(ValueError, match=r"4 x 10 tokens .* for 8 x 8.*Fix: give the backbone a larger img_size"):
            network(torch.randn(1, 3, 64, 160))


@pytest.mark.parametrize("library", ["mmdet", "mmseg"])
def test_its_libraries_find_it(library):
    with DefaultScope.overwrite_default_scope(library):
        assert type(import_module(f"{library}.registry").MODELS.build({"type": "ViTCoMer"} | TINY)) is ViTCoMer
    assert MODELS.get("ViTCoMer") is ViTCoMer


def test_any_other_library_finds_it(monkeypatch):
    """Such as mmpretrain, which need not be installed: it has a child of the root registry like this one."""
    monkeypatch.setattr(MODELS, "_children", dict(MODELS.children))
    registry = Registry("model", parent=MODELS, scope="another")
    with DefaultScope.overwrite_default_scope("another"):
        assert type(registry.build({"type": "ViTCoMer"} | TINY)) is ViTCoMer


@pytest.mark.parametrize("size", [(64, 96), (65, 31), (47, 130), (1, 1)])
def test_images_of_any_size_give_maps_at_four_strides(size):
    with torch.inference_mode():
        maps = tiny(out_x=True).eval()(torch.randn(2, 3, *size))
    assert [tuple(one.shape[2:]) for one in maps] == [(-(-size[0] // s), -(-size[1] // s)) for s in (16, 4, 8, 16, 32)]


def test_an_odd_image_is_one_with_zeros_at_the_bottom_and_the_right():
    network = show(tiny()).eval()
    images = torch.zeros(1, 3, 64, 96)
    images[..., :50, :70] = torch.randn(1, 3, 50, 70)
    with torch.inference_mode():
        whole, odd = network(images), network(images[..., :50, :70])
    for stride, of_whole, of_odd in zip((4, 8, 16, 32), whole, odd, strict=True):
        assert torch.equal(of_odd, of_whole[..., : -(-50 // stride), : -(-70 // stride)])


def test_an_image_is_independent_of_its_batch_in_evaluation():
    network, images = show(tiny()).eval(), torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        together, alone = network(images), network(images[1:])
    assert all(torch.allclose(a[1:], b, atol=1e-4) for a, b in zip(together, alone, strict=True))


def test_the_variants_add_other_maps_of_the_vit():
    images = torch.randn(1, 3, 64, 64)
    outputs = {}
    for added in ("last", "stages", None):
        network = show(tiny(add_vit_feature=added)).eval()
        with torch.inference_mode():
            outputs[added] = network(images)
    assert torch.equal(outputs["last"][3], outputs["stages"][3])  # the last interaction's in both
    assert not torch.allclose(outputs["last"][0], outputs["stages"][0], atol=1e-2)
    assert not torch.allclose(outputs["last"][3], outputs[None][3], atol=1e-2)


@pytest.mark.parametrize("given", [{}, {"variant": "seg"}, {"variant": "co-detr", "pretrain_size": None}])
def test_every_parameter_gets_a_gradient(given):
    windows = {"window_size": 3} if given.get("variant") == "co-detr" else {}
    network = show(tiny(**given, **windows)).train()
    sum(one.square().sum() for one in network(torch.randn(2, 3, 64, 96))).backward()
    without = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()]
    assert without == []


def test_sizes_without_a_name_have_the_official_mrfp():
    widths = {variant: tiny(variant=variant).interactions[0].mrfp.fc1.out_features for variant in ("det", "seg")}
    assert widths == {"det": 12, "seg": 6 * 24}


def test_an_mrfp_that_nothing_reads_exists_where_the_official_code_has_it():
    def keys(variant):
        return [key for key in tiny(variant=variant, use_cti_to_v=False).state_dict() if "mrfp" in key]

    assert not keys("det")
    assert keys("seg")


def test_checkpointing_everything_changes_neither_outputs_nor_gradients_nor_statistics():
    results = []
    for cp in (False, True):
        network = show(tiny(with_cp=cp, cti_with_cp=cp, drop_path_rate=0.3)).train()
        torch.manual_seed(3)
        maps = network(torch.randn(2, 3, 64, 64))
        sum(one.square().sum() for one in maps).backward()
        results.append([*maps, *(one.grad for one in network.parameters()), *network.buffers()])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


class WrittenBatchNorm(nn.Module):
    """Batch norm in training as its formula, by operations whose gradients do not depend on strides."""

    def __init__(self, norm):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, maps):
        variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0, keepdim=True)
        return (maps - mean) / (variance + self.eps).sqrt() * self.weight[:, None, None] + self.bias[:, None, None]


def write_batch_norms(network):
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                module.add_module(name, WrittenBatchNorm(child))
    return network


@pytest.mark.parametrize("size", [(64, 96), (32, 64)])
@pytest.mark.parametrize("variant", ["det", "seg", "co-detr"])
def test_one_image_gets_the_gradients_of_batch_norms_formula(variant, size):
    """PyTorch's own are wrong for some strides of a single map (tests/test_bench.py)."""
    beit = {"pretrain_size": None, "window_size": 3} if variant == "co-detr" else {}
    ours, written = (show(tiny(variant=variant, **beit)).double().train() for _ in range(2))
    write_batch_norms(written)
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    for network in (ours, written):
        torch.manual_seed(1)
        # Gradients channels first: those that a head's convolutions may hand back.
        maps = network(image)
        torch.autograd.backward(maps, [torch.randn(one.shape, dtype=one.dtype) for one in maps])
    expected = {name: parameter.grad for name, parameter in written.named_parameters()}
    for name, parameter in ours.named_parameters():
        close = torch.allclose(parameter.grad, expected[name], rtol=1e-7, atol=1e-9)
        assert close, name


def test_a_batch_of_one_trains_with_batch_norm_and_with_group_norm():
    norm = {"type": "GN", "num_groups": 2}
    for given in ({}, {"norm_cfg": norm, "mrfp_norm_cfg": norm}):
        network = tiny(**given).train()
        assert all(one.isfinite().all() for one in network(torch.randn(1, 3, 64, 64)))
    assert not list(network.buffers())  # group norms keep no statistics


@pytest.mark.parametrize("variant", ["det", "seg", "co-detr"])
def test_bfloat16_autocast_stays_close(variant):
    beit = {"pretrain_size": None, "window_size": 3} if variant == "co-detr" else {}
    network, images = show(tiny(variant=variant, **beit)).eval(), torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images)
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).abs().mean() < 0.01 * a.abs().mean()  # twice what it is, 0.0054 at most


def test_weights_begin_as_in_the_official_code():
    network = ViTCoMer(TINY["arch"], deform_num_heads=3, conv_inplane=16)
    weight = network.spm.conv3[0].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert network.level_embed.std().item() == pytest.approx(1, rel=0.3)
    assert network.interactions[0].cti_tov.gamma.abs().max() == 0
    assert network.blocks[0].gamma1.eq(1).all()
    assert network.interactions[0].cti_tov.attn.sampling_offsets.bias.any()
    assert not network.pos_embed.any()


def test_layers_begin_as_in_the_official_code_and_deformable_attention_after_them():
    torch.manual_seed(0)
    dim = 48
    network = ViTCoMer({"embed_dim": dim, "depth": 4, "num_heads": 3}, deform_num_heads=3, conv_inplane=16)
    interaction = network.interactions[0]
    for linear in (interaction.mrfp.fc1, interaction.mrfp.fc2, interaction.cti_tov.ffn.fc1):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert network.up.weight.std().item() == pytest.approx((2 / (4 * dim)) ** 0.5, rel=0.05)
    attention = interaction.cti_tov.attn
    for projection in (
        attention.value_proj,
        attention.output_proj,
    ):  # Xavier's uniform, ten times as wide as the others
        reach = (6 / sum(projection.weight.shape)) ** 0.5
        assert 0.95 * reach < projection.weight.abs().max() <= reach
    for linear in (attention.sampling_offsets, attention.attention_weights):
        assert not linear.weight.any()
    for part in (network.spm, network.interactions, network.up):
        for name, module in part.named_modules():
            kinds = torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d
            if isinstance(module, kinds) and module.bias is not None and not name.endswith("sampling_offsets"):
                assert not module.bias.any(), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arch": "huge"}, "arch='huge' is unknown; there are 'tiny', 'small', 'base', 'large', or give a dictionary"),
        ({"arch": {"dim": 3}}, "it needs embed_dim, depth and num_heads"),
        ({"variant": "depth"}, "variant='depth' is unknown; there are 'det', 'seg', 'co-detr'"),
        ({"trunk": "swin"}, "trunk='swin' is unknown; there are 'vit' and 'beit'"),
        ({"add_vit_feature": "first"}, "add_vit_feature='first' is unknown"),
        ({"interaction_indexes": [[0, 1], [3, 3]]}, "must cover the blocks 0 to 3 in order"),
        ({"variant": "seg", "interaction_indexes": [[0, 1], [2, 3]]}, "there are 2 interactions: give as many"),
        ({"use_cti_to_v": [True]}, "use_cti_to_v has 1 entries for 4 interactions"),
        ({"mrfp_ratio": 0.0417 * 3}, "hidden width of the MRFP is 3; it must be even"),
        ({"arch": {"embed_dim": 24, "depth": 5, "num_heads": 3}}, "a depth of 5 has no equal quarters"),
    ],
)
def test_wrong_arguments_are_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        ViTCoMer(**TINY | given)


@pytest.mark.parametrize("given", [{"variant": "seg"}, {"variant": "det"}, {"variant": "det", "out_x": True}])
def test_chosen_maps_are_those_of_all_and_have_no_idle_layers(given):
    whole, part = show(tiny(**given)).eval(), tiny(out_indices=(1, 3), **given).eval()
    weights = part.state_dict().keys()
    part.load_state_dict({key: value for key, value in whole.state_dict().items() if key in weights})
    images = torch.randn(1, 3, 72, 64)
    every, chosen = whole(images), part(images)
    extra = every[:1] if given.get("out_x") else ()
    expected = (*extra, every[len(extra) + 1], every[len(extra) + 3])
    assert len(chosen) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(chosen, expected, strict=True))
    sum(one.square().sum() for one in chosen).backward()
    assert [name for name, one in part.named_parameters() if one.grad is None] == []


@pytest.mark.parametrize("chosen", [(), (0, 4), (3, 1), (1, 1, 2), (-1,), (0.5,)])
def test_maps_that_there_are_not_are_refused(chosen):
    with pytest.raises(ValueError, match=r"out_indices=.* must be some of 0, 1, 2 and 3, the maps .* in rising order"):
        tiny(out_indices=chosen)
