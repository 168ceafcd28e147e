"""The benchmark compares like with like, and all that it declares can be run."""

import importlib.util
from pathlib import Path

import pytest
import torch

from mm_hat.models import ImageRestorer

HERE = Path(__file__).resolve().parent


@pytest.fixture
def bench():
    spec = importlib.util.spec_from_file_location("mm_hat_test_bench", HERE / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(bench, monkeypatch):
    """The benchmark with networks of the same kind that take no time and drop nothing."""
    less = {"window_size": 8, "depths": (2,), "num_heads": (2,), "embed_dim": 12, "squeeze_factor": 6}
    less |= {"compress_ratio": 3, "drop_path_rate": 0.0}
    sizes = bench.sizes
    monkeypatch.setattr(bench, "sizes", lambda name: sizes(name) | less)
    return bench


@pytest.mark.parametrize("name", ["HAT x4", "HAT-S x2"])
def test_both_sides_are_the_same_network_with_the_same_weights(small, name):
    pytest.importorskip("spandrel")
    config = small.sizes(name)
    ours, theirs = (
        small.picture(lambda build=build: build(config), 16, "cpu")() for build in (small.ours, small.theirs)
    )
    assert ours.shape == (1, 3, 16 * config["upscale"], 16 * config["upscale"])
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", ["layers.0.residual_group.blocks.0.attn", "layers.0.residual_group.overlap_attn"])
def test_every_bias_shows_in_a_picture(small, name):
    """Otherwise that both sides agree would say nothing of the attention."""

    def other():
        network = small.ours(small.sizes("HAT x4"))
        table = network.get_parameter(f"{name}.relative_position_bias_table")
        table.data = table.roll(1, 0)
        return network

    plain = small.picture(lambda: small.ours(small.sizes("HAT x4")), 16, "cpu")()
    rolled = small.picture(other, 16, "cpu")()
    assert (rolled - plain).abs().max() > 1e-3 * plain.abs().max()


def test_a_picture_in_strips_is_that_of_the_whole(small):
    pytest.importorskip("spandrel")
    _, ways = small.steps().values()
    assert list(ways) == ["reference", "ours", "ours, tile='exact'"]
    expected, *others = (small.picture(way.args[0], 32, "cpu")() for way in ways.values())
    assert all((other - expected).abs().max() < 1e-5 * expected.abs().max() for other in others)


def test_all_training_steps_compute_the_same_gradients(small):
    pytest.importorskip("spandrel")
    networks = []

    def remembered(build):
        networks.append(build())
        return networks[-1]

    ways, _ = small.steps().values()
    assert list(ways) == ["reference", "ours", "ours, with_cp=True"]
    for way in ways.values():
        build, _ = way.args
        small.training_step(lambda build=build: remembered(build), 16)()
    assert networks[2].layers[0].residual_group.with_cp
    expected, *others = (
        {name: parameter.grad for name, parameter in network.named_parameters()} for network in networks
    )
    for gradients in others:
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            largest = expected[name].abs().max()
            assert (gradient - expected[name]).abs().max() <= 1e-4 * largest, name
            if "bias_table" in name:
                assert largest > 0, name


def test_pictures_are_declared_by_group(small):
    group = small.groups()["CPU: ours beside the official network from spandrel"]
    assert list(group) == [f"{name}, {side}x{side} input" for name, side in small.ON_CPU]
    assert all(list(lines["forward"]) == ["ours", "spandrel"] for lines in group.values())


def test_the_shares_of_what_bounds_a_picture_add_up(small, monkeypatch):
    monkeypatch.setattr(small, "PATCH", 16)
    table = small.bounds()
    shares = {kind: float(share.split()[0]) for kind, share in table.rows}
    assert list(shares) == [*small.KINDS, small.REST]
    assert all(share > 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(100, abs=0.3)


def test_the_table_of_tiles_is_that_of_the_trained_network(bench, monkeypatch, tmp_path):
    def train(paper, config, work_dir, **more):
        restorer = ImageRestorer(bench.Config.fromfile(config).model.generator)
        torch.nn.init.normal_(restorer.generator.conv_last.weight, std=0.05)
        torch.save({"state_dict": restorer.state_dict()}, work_dir / "best.pth")
        return work_dir / "best.pth"

    monkeypatch.setattr(bench.runs, "train", train)
    monkeypatch.setattr(bench, "TILES", (16,))
    monkeypatch.setattr(bench, "OVERLAPS", (0, 8))
    monkeypatch.setattr(bench, "NO_PICTURES", {"count": 1, "size": 48, "seed": 50})
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    table = bench.tables()["What tiles change: a small HAT x2"]()
    assert [row[:3] for row in table.rows] == [["16", "0", "1"], ["16", "8", "1"]]
    assert "on 1 pictures (generated textures)" in table.note
    assert table.rows[0][4] != "+0.000"
