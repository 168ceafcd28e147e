"""The networks: against the official cases, against their own slower forms, and what they refuse."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mm_hat.models import HAT, OCAB, ResidualHAT, Upsample
from mm_hat.models.hybrid_attention import HAB
from mm_hat.models.pointwise import DropPath, Mlp
from mm_hat.models.relative_position import gather_bias, overlap_index
from mm_hat.models.windows import ShiftedOrder, attend, pad_heads, shift_mask
from mmrepro.ops.windows import partition, relative_position_index
from mmrepro.testing import check, load_case, load_keys

HERE = Path(__file__).resolve().parent
TINY = {
    "img_size": 16,
    "window_size": 8,
    "compress_ratio": 4,
    "squeeze_factor": 6,
    "depths": (2, 2),
    "embed_dim": 24,
    "num_heads": (2, 2),
    "upscale": 2,
}


def adapter():
    spec = importlib.util.spec_from_file_location("mm_hat_parity_network", HERE / "parity_network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return HAT(**TINY)


@pytest.mark.parametrize(
    "name",
    [
        "hat_tiny_x8_gray_range3_batch2",
        "hat_tiny_gradients",
        "relative_index_and_mask",
    ],
)
def test_official_case(name):
    case = load_case(HERE / "parity" / name)
    check(case, getattr(adapter(), case.kind)(case.public, case.state_dict(), case.inputs))


@pytest.mark.parametrize("variant", ["hat_s_x2", "hat_x3", "hat_l_x4"])
def test_keys_and_shapes_are_the_official_ones_without_the_index_tables(variant):
    path = HERE / "parity" / f"keys_{variant}.json"
    manifest, official = load_manifest(path), load_keys(path)[variant]["state_dict"]
    with torch.device("meta"):
        network = HAT(**manifest["config"])
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == {key: shape for key, shape in official.items() if not key.startswith("relative_position_index")}
    assert sum(parameter.numel() for parameter in network.parameters()) == manifest["num_parameters"]


def load_manifest(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_discriminator_has_the_official_keys():
    keys = load_keys(HERE / "parity" / "keys_unet_discriminator_sn.json")
    (official,) = keys.values()
    network = MODELS.build({"type": "UNetDiscriminatorWithSpectralNorm"})
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == official["state_dict"]


def test_outputs_equal_those_of_the_same_network_from_spandrel():
    arch = pytest.importorskip("spandrel.architectures.HAT.__arch.HAT")
    config = TINY | {"img_size": 32, "conv_scale": 0.5, "overlap_ratio": 0.5, "mlp_ratio": 2, "img_range": 1.0}
    ours = HAT(**config).eval()
    theirs = arch.HAT(**config, upsampler="pixelshuffle", resi_connection="1conv").eval()
    for name, parameter in ours.named_parameters():
        # The normalisations keep the size of their tokens, and biases that of logits, so that every part shows.
        is_scale = "norm" in name and name.endswith("weight")
        nn.init.normal_(parameter, float(is_scale), 1.0 if "bias_table" in name else 0.2)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    images = torch.rand(2, 3, 24, 16)
    with torch.no_grad():
        expected = theirs(images)
        tolerance = 1e-5 * expected.abs().max()
        assert (ours(images) - expected).abs().max() < tolerance
        for name, parameter in ours.named_parameters():
            if "bias_table" in name:  # otherwise that both agree would say nothing of the attention
                kept = parameter.clone()
                parameter.copy_(kept.roll(1, 0))
                assert (ours(images) - expected).abs().max() > 100 * tolerance, name
                parameter.copy_(kept)


# Windows and tables


def test_overlap_index_is_one_to_one_and_never_negative():
    index = overlap_index(4, 6).view(4, 4, 6, 6)
    assert (index.min(), index.max(), index.unique().numel()) == (0, 80, 81)
    assert index[0, 0, 1, 1] == 0  # one pixel before the middle, where the official table begins
    assert (index[1:, 1:, 1:, 1:] == index[:-1, :-1, :-1, :-1]).all()


def test_gathered_bias_is_the_table_by_index():
    table, index = torch.randn(49, 3), relative_position_index(4)
    assert torch.equal(gather_bias(table, index), table[index].permute(2, 0, 1)[None])


@pytest.mark.parametrize("size", [(8, 8), (8, 24), (24, 16)])
def test_shifted_windows_of_one_kind_need_one_mask(size):
    batch, m = 2, 8
    shift = ShiftedOrder.of(batch, size, m, torch.device("cpu"))
    tokens = torch.arange(batch * size[0] * size[1])
    assert torch.equal(tokens[shift.order][shift.inverse], tokens)
    # Window after window the mask of its kind is the official mask of that window.
    masks = shift_mask(*size, m).repeat(batch, 1, 1)
    rolled = tokens.view(batch, *size, 1).roll((-m // 2, -m // 2), (1, 2))
    official = {tuple(window.tolist()): mask for window, mask in zip(partition(rolled, m)[..., 0], masks, strict=True)}
    kinds = shift_mask(2 * m, 2 * m, m).repeat_interleave(torch.tensor(shift.counts), 0)
    assert len(kinds) == len(official)
    for window, mask in zip(shift.order.view(-1, m * m), kinds, strict=True):
        assert torch.equal(official[tuple(window.tolist())], mask)


def test_padded_heads_give_the_same_attention():
    weight = torch.randn(2 * 6, 10)
    padded = pad_heads(weight, 2).view(2, 8, 10)
    assert torch.equal(padded[:, :6], weight.view(2, 6, 10))
    assert not padded[:, 6:].any()
    assert torch.equal(pad_heads(padded.view(16, 10), 2), padded.view(16, 10))
    query, key, value = torch.randn(3, 4, 5, 2, 6)
    bias = torch.randn(1, 2, 5, 5)
    filled = [nn.functional.pad(x, (0, 2)) for x in (query, key, value)]
    plain = attend(query, key, value, bias, 0.3).view(4, 5, 2, 6)
    torch.testing.assert_close(attend(*filled, bias, 0.3).view(4, 5, 2, 8)[..., :6], plain)


def test_inference_runs_the_feed_forward_part_in_chunks_of_tokens():
    layer, tokens, seen = Mlp(12, 24).eval(), torch.randn(2, 40, 30, 12), []
    whole = layer(tokens)
    layer.fc2.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    with torch.no_grad():
        torch.testing.assert_close(layer(tokens), whole)
    assert seen == [1024, 1024, 352]


def test_an_overlapping_window_sees_zeros_beyond_the_border():
    block = OCAB(4, 1, window_size=4, overlap_ratio=0.5)
    maps = torch.arange(1.0, 65.0).view(1, 8, 8, 1, 1, 1).expand(1, 8, 8, 2, 1, 1)
    padded = nn.functional.pad(maps, (0, 0) * 3 + (1,) * 4)
    windows = torch.cat([block._surroundings(padded, row, 1) for row in range(2)])[:, :, 0, 0, 0].view(4, 6, 6)
    assert torch.equal(block._surroundings(padded, 0, 2)[:, :, 0, 0, 0].view(4, 6, 6), windows)
    padded = nn.functional.pad(torch.arange(1.0, 65.0).view(8, 8), (1, 1, 1, 1))
    assert torch.equal(windows[1], padded[:6, 4:10])
    assert torch.equal(windows[2], padded[4:10, :6])


# Training


def test_every_parameter_gets_a_gradient(tiny):
    tiny(torch.rand(2, 3, 16, 24)).square().mean().backward()
    without = [name for name, p in tiny.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without
    silent = [name for name, p in tiny.named_parameters() if not p.grad.any()]
    assert not [name for name in silent if "attention.1" not in name]  # a ReLU may be closed


@pytest.mark.parametrize("drop_path_rate", [0.0, 0.5])
def test_checkpointing_changes_neither_outputs_nor_gradients(drop_path_rate):
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        network = HAT(**TINY, with_cp=with_cp, drop_path_rate=drop_path_rate)
        output = network(torch.rand(2, 3, 16, 16))
        output.square().mean().backward()
        results.append([output, *(p.grad for p in network.parameters())])
    for plain, checkpointed in zip(*results, strict=True):
        assert torch.equal(plain, checkpointed)


def test_checkpointing_keeps_fewer_activations():
    def kept(with_cp: bool) -> int:
        sizes = []
        network, images = HAT(**TINY, with_cp=with_cp), torch.rand(1, 3, 16, 16)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.numel()), x)[1], lambda x: x):
            network(images)
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_drop_path_leaves_out_whole_samples_of_branches_and_keeps_the_mean():
    layer, branch = DropPath(0.25), torch.ones(4000, 2, 3)
    dropped = layer(branch)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(dropped.amin((1, 2)), dropped.amax((1, 2)))
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    assert layer.eval()(branch) is branch


def test_drop_path_grows_over_the_hybrid_blocks_and_spares_the_convolutional_branch():
    network = HAT(**TINY, drop_path_rate=0.3)
    rates = [module.drop_path.rate for module in network.modules() if isinstance(module, HAB)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
    block = network.layers[1].residual_group.blocks[1]
    block.drop_path.rate = 1 - 1e-9
    size, index = (16, 16), network.window_index
    shift = ShiftedOrder.of(1, size, 8, torch.device("cpu"))
    tokens = torch.randn(1, 256, 24)
    conv = block.conv_block(block.norm1(tokens).view(1, 16, 16, 24).permute(0, 3, 1, 2))
    expected = tokens + block.conv_scale * conv.permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(block(tokens, size, index, shift, network.shift_masks), expected)


def test_initial_weights_are_the_official_ones(tiny):
    block = HAT(**TINY | {"embed_dim": 60}).layers[0].residual_group.blocks[0]
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.2)
    assert not block.attn.qkv.bias.any()
    assert block.conv_block.cab[0].bias.any()  # convolutions are PyTorch's


# Properties of the network


@pytest.mark.parametrize("size", [(8, 8), (8, 40), (24, 16)])
@pytest.mark.parametrize("upscale", [1, 3, 4])
def test_sizes(size, upscale):
    network = HAT(**TINY | {"upscale": upscale}).eval()
    assert network(torch.rand(2, 3, *size)).shape == (2, 3, upscale * size[0], upscale * size[1])


@pytest.mark.parametrize("options", [{"upscale": 4}, {"upscale": 3}, {"upscale": 1, "upsampler": None}])
def test_inference_makes_the_heads_maps_in_strips_without_a_seam(options):
    network, heights = HAT(**TINY | options).eval().double(), []
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    network.conv_last.register_forward_hook(lambda _, inputs, __: heights.append(inputs[0].shape[2]))
    images = torch.rand(1, 3, 136, 8, dtype=torch.float64)
    whole = network(images).detach()
    with torch.no_grad():
        assert (network(images) - whole).abs().max() < 1e-12 * whole.abs().max()
    assert [height // options["upscale"] for height in heights] == [136, 36, 40, 40, 40, 12]


def test_samples_of_a_batch_do_not_see_each_other(tiny):
    images = torch.rand(3, 3, 16, 24)
    with torch.no_grad():
        together = tiny.eval()(images)
        alone = torch.cat([tiny(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_without_an_upsampler_the_network_predicts_what_to_add(tiny):
    network = HAT(**TINY | {"upscale": 1}, upsampler=None).eval()
    nn.init.zeros_(network.conv_last.weight)
    nn.init.zeros_(network.conv_last.bias)
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(network(images), images, rtol=0, atol=1e-6)
    assert not any(key.startswith(("upsample", "conv_before")) for key in network.state_dict())


def test_a_network_on_the_meta_device_is_whole_once_it_has_weights(tiny):
    with torch.device("meta"):
        other = HAT(**TINY)
    other.load_state_dict(tiny.state_dict(), assign=True)
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(other.eval()(images), tiny.eval()(images))


def test_written_tables_are_seen_at_once(tiny):
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before = tiny.eval()(images)
        for name, parameter in tiny.named_parameters():
            if "bias_table" in name:
                parameter.data.normal_()
        assert not torch.allclose(tiny(images), before)


def test_bfloat16_stays_close(tiny):
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        exact = tiny.eval()(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = tiny(images)
    assert rough.isfinite().all()
    assert (rough - exact).abs().max() < 0.05


@pytest.mark.parametrize("options", [{"qkv_bias": False}, {"patch_norm": False}, {"resi_connection": "identity"}])
def test_options_take_their_parameters_away(tiny, options):
    network = HAT(**TINY, **options).eval()
    assert len(network.state_dict()) < len(tiny.state_dict())
    assert network(torch.rand(1, 3, 16, 16)).isfinite().all()


def test_absolute_positions_fit_one_size():
    network = HAT(**TINY, ape=True).eval()
    assert network.state_dict()["absolute_pos_embed"].shape == (1, 256, 24)
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"ape=True images must be 16x16, not 16x24"):
        network(torch.rand(1, 3, 16, 24))


def test_a_training_patch_of_one_window_shifts_nothing():
    network = HAT(**TINY | {"img_size": 8})
    assert not any(module.shifted for module in network.modules() if isinstance(module, HAB))


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upscale": 6}, "upscale=6 is not served: 3 and powers of 2"),
        ({"upscale": 0}, "upscale=0 is not served"),
        ({"upsampler": "nearest+conv"}, r"upsampler='nearest\+conv' with upscale=2 is not served"),
        ({"upsampler": None}, "upsampler=None with upscale=2 is not served"),
        ({"resi_connection": "3conv"}, "resi_connection='3conv' is neither"),
        ({"patch_size": 4}, "patch_size=4"),
        ({"window_size": 7}, "window_size=7 is not an even number"),
        ({"img_size": 4}, "img_size=4 is smaller than window_size=8"),
        ({"num_heads": (2,)}, r"num_heads=\(2,\) are for different numbers of groups"),
        ({"num_heads": (2, 5)}, "embed_dim=24 is no multiple of num_heads=5"),
        ({"overlap_ratio": 0.4}, "makes windows of 8 larger by 3, which is not an even number"),
        ({"squeeze_factor": 30}, "squeeze_factor=30 must be from 1 to the number of channels, 24"),
    ],
)
def test_arguments_that_fit_no_network_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HAT(**TINY | options)


def test_a_residual_network_without_an_upsampler_would_add_the_image_twice():
    with pytest.raises(ValueError, match=r"upsampler=None would add the image twice\. Fix: type='HAT'"):
        ResidualHAT(**TINY | {"upscale": 1, "upsampler": None})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 16, 20), r"16x20 \(H x W\) are no multiples of the window, 8: pad them"),
        ((1, 3, 0, 16), "0x16"),
        ((1, 1, 16, 16), r"\(1, 1, 16, 16\) are not \(B, 3, H, W\)"),
        ((3, 16, 16), r"\(3, 16, 16\) are not"),
    ],
)
def test_images_of_other_shapes_are_refused(tiny, shape, message):
    with pytest.raises(ValueError, match=message):
        tiny(torch.zeros(shape))


def test_the_discriminator_refuses_sizes_that_do_not_fit():
    network = MODELS.build({"type": "UNetDiscriminatorWithSpectralNorm", "num_feat": 4})
    assert network(torch.rand(1, 3, 16, 24)).shape == (1, 1, 16, 24)
    with pytest.raises(ValueError, match=r"20x16 \(H x W\) are no multiples of 8"):
        network(torch.rand(1, 3, 20, 16))


def test_upsampling_by_one_changes_nothing():
    maps = torch.rand(1, 4, 3, 3)
    assert Upsample(1, 4)(maps) is maps
