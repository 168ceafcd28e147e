"""The benchmark compares like with like, and all that it declares can be run."""

import importlib.util
import re
from functools import partial
from pathlib import Path

import pytest
import torch

SIZE = (96, 160)  # windows of two tokens reach over its edge
SMALL = {
    "seg-T": {
        "ours": {"arch": {"embed_dim": 24, "depth": 4, "num_heads": 3}, "mrfp_ratio": 6.0},
        "plain": {"embed_dim": 24, "num_heads": 3, "windows": [None] * 4, "mrfp_hidden": 144},
    },
    "det-S": {
        "ours": {"arch": {"embed_dim": 24, "depth": 8, "num_heads": 2}, "window_size": 2},
        "plain": {"embed_dim": 24, "num_heads": 2, "windows": [2, None] * 4, "mrfp_hidden": 12},
    },
    "seg-B": {
        "ours": {"arch": {"embed_dim": 24, "depth": 4, "num_heads": 3}, "mrfp_ratio": 1.0, "deform_num_heads": 3}
        | {"deform_ratio": 0.5},
        "plain": {"embed_dim": 24, "num_heads": 3, "windows": [None] * 4, "mrfp_hidden": 24, "deform_heads": 3},
    },
}
# Biases before a batch norm in training, which takes every constant away.
WITHOUT_EFFECT = re.compile(r"interactions\.\d\.mrfp\.dwconv\.dwconv\d\.bias|spm\.fc1\.bias|up\.bias")


@pytest.fixture
def bench():
    spec = importlib.util.spec_from_file_location("mm_vit_comer_test_bench", Path(__file__).with_name("bench.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(bench, monkeypatch):
    """The benchmark with backbones of the same kind that take no time."""
    for name, given in SMALL.items():
        ours = {"extra_num": 1, "n_points": 2, "conv_inplane": 4}
        plain = {"extra_num": 1, "num_points": 2, "inplanes": 4}
        monkeypatch.setitem(bench.NETWORKS, name, bench.NETWORKS[name] | ours | given["ours"])
        monkeypatch.setitem(bench.PLAIN, name, bench.PLAIN[name] | plain | given["plain"])
    return bench


@pytest.fixture
def double(small, monkeypatch):
    """The same in double precision, by which gradients through many layers can be compared."""
    fill, images = small.fill, small.random_images
    monkeypatch.setattr(small, "fill", lambda network: fill(network).double())
    monkeypatch.setattr(small, "random_images", lambda *given: images(*given).double())
    return small


@pytest.fixture
def smooth(small, monkeypatch):
    """The same in single precision, with samples that lie a tenth of a pixel beside those of the tokens' centres.

    Where a sample crosses from one pixel to the next its gradient jumps, and rounding alone would decide on which side
    it is; no level has such a border there.
    """
    fill = small.fill

    def filled(network):
        for name, parameter in fill(network).named_parameters():
            if name.endswith("sampling_offsets.weight"):
                torch.nn.init.zeros_(parameter)
            elif name.endswith("sampling_offsets.bias"):
                parameter.data.round_().add_(0.1)
        return network

    monkeypatch.setattr(small, "fill", filled)
    return small


def stepped(bench, name):
    """Return our network and the plain one after a training step."""
    networks = {}

    def remembered(side):
        networks[side] = getattr(bench, side)(name)
        return networks[side]

    for side in ("ours", "plain"):
        bench.training_step(partial(remembered, side), SIZE, "cpu")()
    return networks["ours"], networks["plain"]


@pytest.mark.parametrize("name", SMALL)
def test_both_have_the_same_parameters_and_windows(bench, name):
    with torch.device("meta"):
        ours, plain = bench.ViTCoMer(**bench.NETWORKS[name]), bench.transcription().PlainViTCoMer(**bench.PLAIN[name])
    shapes, others = ({key: one.shape for key, one in side.state_dict().items()} for side in (ours, plain))
    assert shapes == others
    assert [getattr(block.attn, "window_size", None) for block in ours.blocks] == bench.PLAIN[name]["windows"]


@pytest.mark.parametrize("name", SMALL)
def test_both_are_the_same_function(small, name):
    maps, others = (small.forward(partial(build, name), SIZE, "cpu")() for build in (small.ours, small.plain))
    assert [one.shape[1:] for one in maps] == [(24, 96 // s, 160 // s) for s in (4, 8, 16, 32)]
    for one, other in zip(maps, others, strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["seg-T", "det-S"])
def test_training_steps_give_the_same_gradients_and_statistics(double, name):
    ours, plain = stepped(double, name)
    gradients = dict(plain.named_parameters())
    for key, one in ours.named_parameters():
        torch.testing.assert_close(one.grad, gradients[key].grad, rtol=1e-7, atol=1e-9)
        assert (one.grad.abs().max() < 1e-9) == bool(WITHOUT_EFFECT.fullmatch(key)), key
    statistics = dict(plain.named_buffers())
    for key, one in ours.named_buffers():
        torch.testing.assert_close(one, statistics[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["seg-T", "det-S"])
def test_gradients_are_the_same_in_single_precision_too(smooth, name):
    ours, plain = stepped(smooth, name)
    gradients = {key: one.grad for key, one in plain.named_parameters() if not WITHOUT_EFFECT.fullmatch(key)}
    for key, one in ours.named_parameters():
        if key in gradients:
            assert one.grad.any()
            assert (one.grad - gradients[key]).norm() < 1e-3 * gradients[key].norm(), key


def test_sides_are_declared_by_group(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (group,) = bench.groups().values()
    both = ["ours", "plain"]
    assert {name: {what: list(sides) for what, sides in lines.items()} for name, lines in group.items()} == {
        "seg-T, 512x512": {"forward": both, "training step": both},
        "det-S, 512x672": {"forward": both, "training step": both},
        "seg-B, 512x512": {"forward": both},
    }


def test_steps_compute_again_what_their_names_say(small, monkeypatch):
    monkeypatch.setitem(small.SIZES, small.RECOMPUTED, SIZE)
    made = []
    monkeypatch.setattr(small, "fill", lambda network: made.append(network) or network)
    (ways,) = small.steps().values()
    for make in ways.values():
        make()
    assert list(ways)[:2] == ["reference", "ours"]
    assert {
        label: (one.with_cp, one.interactions[0].with_cp)
        for label, one in zip(ways, made, strict=True)
        if label[:4] == "ours"
    } == {
        "ours": (False, False),
        "ours, with_cp=True": (True, False),
        "ours, cti_with_cp=True": (False, True),
        "ours, with_cp=True, cti_with_cp=True": (True, True),
    }


@pytest.mark.parametrize("images", [1, 2])
def test_batch_norm_on_the_cpu_has_wrong_gradients_of_one_image_of_transposed_tokens(images):
    """Why a step of the benchmark has two images; where this fails, PyTorch has put it right, and one image will do."""
    tokens = torch.randn(images, 6 * 6, 4, dtype=torch.float64, requires_grad=True)
    maps = tokens.transpose(1, 2).view(images, 4, 6, 6)
    towards = torch.randn(images, 4, 6, 6, dtype=torch.float64)
    found, right = (
        torch.autograd.grad(torch.nn.functional.batch_norm(one, None, None, training=True), tokens, towards)[0]
        for one in (maps, maps.contiguous())
    )
    assert torch.allclose(found, right) == (images > 1)
