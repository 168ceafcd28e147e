"""What the operators' benchmark measures: both sides do the same, and every side can be built."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).parents[1] / "bench.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("operators_bench", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("queries", [0, 7])
def test_both_sides_do_the_same(bench, queries, monkeypatch):
    formulation = pytest.importorskip("mmcv.ops.multi_scale_deform_attn").multi_scale_deformable_attn_pytorch
    monkeypatch.setenv("MMREPRO_MSDA", "torch")  # put back what the benchmark sets
    arguments = bench.draw(bench.Shape(2, ((9, 7), (5, 4)), heads=2, width=8, queries=queries))
    leaves = [one.requires_grad_() for one in arguments if one.is_floating_point()]
    ours, theirs = bench._ours("torch", *arguments), bench._mmcv_python(formulation, *arguments)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # the same sums of 8 products, in another order
    for mine, other in zip(
        torch.autograd.grad(ours.sum(), leaves), torch.autograd.grad(theirs.sum(), leaves), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)  # longer sums


def test_the_backward_direction_asks_for_all_gradients(bench, monkeypatch):
    monkeypatch.setenv("MMREPRO_MSDA", "torch")
    asked = []

    def attend(value, shapes, starts, locations, weights):
        asked.append([one.requires_grad and torch.is_grad_enabled() for one in (value, locations, weights)])
        return bench._ours("torch", value, shapes, starts, locations, weights)

    shape = bench.Shape(1, ((4, 5),), heads=2, width=4)
    for backward in (False, True):
        bench._make(shape, "cpu", backward, attend)()
    assert asked == [[False] * 3, [True] * 3]


def test_every_line_can_be_built_and_called(bench, monkeypatch):
    pytest.importorskip("mmcv")
    monkeypatch.setenv("MMREPRO_MSDA", "torch")
    small = {name: shape._replace(levels=((4, 5),) * len(shape.levels)) for name, shape in bench.SHAPES.items()}
    monkeypatch.setattr(bench, "SHAPES", small)
    (cpu,) = [group for name, group in bench.groups().items() if name.startswith("CPU")]
    assert list(cpu) == list(bench.SHAPES)
    for directions in cpu.values():
        assert list(directions) == ["forward", "forward + backward"]
        for sides in directions.values():
            assert list(sides) == ["ours", "mmcv"]
            for make in sides.values():
                make()()


def test_an_encoders_points_lie_around_the_cells_of_all_levels(bench):
    shape = bench.Shape(1, ((6, 4), (3, 2)))
    centres, extents = bench._references(shape, torch.Generator())
    assert centres.shape == (1, 30, 2)
    assert centres[0, 1].tolist() == pytest.approx([1.5 / 4, 0.5 / 6])
    assert centres[0, 24].tolist() == pytest.approx([0.25, 1 / 6])
    assert extents[:, 0].tolist() == [pytest.approx([2 / 4, 2 / 6]), pytest.approx([2 / 2, 2 / 3])]
