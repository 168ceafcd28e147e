"""The benchmark compares like with like, and all that it declares can be run."""

import importlib.util
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
}


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
    """The same in double precision, by which gradients through many layers can be compared.

    With two images: of one image's transposed maps PyTorch's batch norm gives the transcription wrong gradients.
    """
    fill, image = small.fill, small.image
    monkeypatch.setattr(small, "fill", lambda network: fill(network).double())
    monkeypatch.setattr(small, "image", lambda *given: torch.cat((image(*given), image(*given).flip(3))).double())
    return small


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


@pytest.mark.parametrize("name", SMALL)
def test_training_steps_give_the_same_gradients_and_statistics(double, name):
    networks = {}

    def remembered(side):
        networks[side] = getattr(double, side)(name)
        return networks[side]

    for side in ("ours", "plain"):
        double.training_step(partial(remembered, side), SIZE, "cpu")()
    ours, plain = networks["ours"], networks["plain"]
    gradients = dict(plain.named_parameters())
    for key, one in ours.named_parameters():
        torch.testing.assert_close(one.grad, gradients[key].grad, rtol=1e-7, atol=1e-9)  # some are zero
    statistics = dict(plain.named_buffers())
    for key, one in ours.named_buffers():
        torch.testing.assert_close(one, statistics[key], rtol=1e-9, atol=1e-9)


def test_sides_are_declared_by_group(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (group,) = bench.groups().values()
    assert list(group) == ["seg-T, 512x512", "det-S, 512x672"]
    for lines in group.values():
        assert {what: list(sides) for what, sides in lines.items()} == {
            "forward": ["ours", "plain"],
            "training step": ["ours", "plain"],
        }
