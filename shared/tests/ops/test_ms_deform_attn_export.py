"""What exported programs hold of deformable attention, exported by way of the public function."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmrepro.ops import dispatch, ms_deform_attn
from mmrepro.ops.ms_deform_attn_export import attend, is_exporting

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parent / "reference.py")
definition = importlib.util.module_from_spec(spec)
spec.loader.exec_module(definition)

SHAPES = ((5, 4), (3, 2), (1, 3), (2, 1), (1, 1))
# Rounding of a pixel's coordinate (up to 5) and of sums of some 40 products of normal numbers.
FLOAT32 = {"rtol": 1e-5, "atol": 2e-5}
# float64 on both sides: what is left is the order of the sums
FLOAT64 = {"rtol": 1e-10, "atol": 1e-11}


def make(shapes=SHAPES, batch=2, queries=3, dtype=torch.float32, seed=0) -> list[Tensor]:
    """Return the five arguments; a third of the locations lies outside."""
    torch.manual_seed(seed)
    table = torch.tensor(shapes)
    sizes = table.prod(1)
    value = torch.randn(batch, int(sizes.sum()), 2, 4, dtype=dtype)
    locations = torch.rand(batch, queries, 2, len(shapes), 2, 2, dtype=dtype) * 1.6 - 0.3
    weights = torch.randn(batch, queries, 2, len(shapes), 2, dtype=dtype)
    return [value, table, sizes.cumsum(0) - sizes, locations, weights]


def reference(value: Tensor, table: Tensor, starts: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return definition.reference(value, table, locations, weights)


def test_is_the_definition():
    arguments = make((*SHAPES, (0, 2)), dtype=torch.float64)
    locations = arguments[3]
    locations[0, 0, 0, :, 0, 0] = torch.nan
    locations[0, 0, 1, :, 0, 1] = torch.inf
    locations[0, 1, 0, :, 0, 1] = 1e300
    leaves = [arguments[k].requires_grad_() for k in (0, 3, 4)]
    output, wanted = attend(*arguments), reference(*arguments)
    torch.testing.assert_close(output, wanted, **FLOAT64)
    grad = torch.randn_like(output)
    grads = torch.autograd.grad(output, leaves, grad)
    for one, other in zip(grads, torch.autograd.grad(wanted, leaves, grad), strict=True):
        torch.testing.assert_close(one, other, **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_single(dtype):
    arguments = [one.to(dtype) if one.is_floating_point() else one for one in make()]
    output = attend(*arguments)
    assert output.dtype == dtype
    rounding = torch.finfo(dtype).eps / 2
    torch.testing.assert_close(output.double(), reference(*arguments), rtol=rounding + 1e-5, atol=2e-5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_pixel_outside_is_zero_whatever_the_map_holds(bad):
    value, table, starts, locations, weights = make(((4, 4),), batch=1, dtype=torch.float64)
    pixels = torch.ones(4, 4, dtype=torch.bool)
    pixels[1:3, 1:3] = False
    value[0, pixels.flatten()] = bad
    # Inside, one pixel beyond the border, a location that is none: the bad border is seen by none of them.
    for k, location in enumerate((0.5, 1 + 1.5 / 4, torch.nan)):
        locations[0, k] = location
    leaves = [one.requires_grad_() for one in (locations, weights)]
    output = attend(value, table, starts, *leaves)
    torch.testing.assert_close(output, reference(value, table, starts, *leaves), **FLOAT64)
    assert all(one.isfinite().all() for one in torch.autograd.grad(output.sum(), leaves))


class Attention(nn.Module):
    """A module with deformable attention inside."""

    def forward(self, value: Tensor, table: Tensor, starts: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn(value, table, starts, locations, weights.softmax(-1))


NAMES = ["value", "table", "starts", "locations", "weights"]


@pytest.fixture(params=["torch", "triton"])
def path(request, monkeypatch) -> None:
    """Pretend that this path is the one that computes; on the CPU Triton's would fail."""
    monkeypatch.setattr(dispatch, "choose", lambda device_type, deterministic=False: (request.param, ""))


def export(file: Path, arguments: list[Tensor], opset: int, dynamo: bool) -> None:
    if dynamo:
        batch, queries, cells = (torch.export.Dim(name, min=1) for name in ("batch", "queries", "cells"))
        axes = [{0: batch, 1: cells}, None, None, {0: batch, 1: queries}, {0: batch, 1: queries}]
        how = {"dynamic_shapes": dict(zip(NAMES, axes, strict=True))}
    else:
        axes = [{0: "batch", 1: "cells"}, {}, {}, {0: "batch", 1: "queries"}, {0: "batch", 1: "queries"}]
        how = {"dynamic_axes": dict(zip(NAMES, axes, strict=True))}
    torch.onnx.export(
        Attention(), tuple(arguments), str(file), input_names=NAMES, opset_version=opset, dynamo=dynamo, **how
    )


@pytest.mark.parametrize("opset", [16, 20])
@pytest.mark.parametrize("dynamo", [False, True], ids=["TorchScript", "dynamo"])
@pytest.mark.filterwarnings("ignore")  # of the exporters about themselves
def test_runs_in_onnxruntime(tmp_path, monkeypatch, path, dynamo, opset):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    if dynamo:
        pytest.importorskip("onnxscript")
    file = tmp_path / "attention.onnx"
    export(file, make(), opset, dynamo)
    monkeypatch.undo()
    assert {one.domain: one.version for one in onnx.load(file).opset_import}[""] == opset
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    # Other sizes of batch, queries and maps than those exported with.
    for sizes in ({}, {"batch": 1, "queries": 7}, {"shapes": ((2, 5), (4, 4), (1, 1), (3, 1), (1, 2))}):
        arguments = make(seed=3, **sizes)
        arguments[3][0, 0, 0, 0, 0, 0] = torch.nan
        (output,) = session.run(None, {name: one.numpy() for name, one in zip(NAMES, arguments, strict=True)})
        torch.testing.assert_close(torch.from_numpy(output), Attention()(*arguments), **FLOAT32)


def test_exported_program_needs_no_operator_of_ours(monkeypatch, path):
    if not hasattr(torch.compiler, "is_exporting"):
        pytest.skip("this PyTorch cannot tell export from compilation")
    program = torch.export.export(Attention(), tuple(make()))
    monkeypatch.undo()
    assert "mmrepro" not in str(program.graph)
    arguments = make(seed=5)
    torch.testing.assert_close(program.module()(*arguments), Attention()(*arguments), **FLOAT32)


def test_running_and_compiling_are_no_export():
    assert not is_exporting()
    torch.compiler.reset()
    flag = torch.compile(lambda x: x + is_exporting(), backend="eager", fullgraph=True)
    assert flag(torch.zeros(())) == 0
