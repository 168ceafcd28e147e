"""The pure PyTorch path against the definition in float64, at its borders, and compiled."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mmrepro.ops import ms_deform_attn_torch as path
from mmrepro.ops.ms_deform_attn_torch import attend

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parent / "reference.py")
definition = importlib.util.module_from_spec(spec)
spec.loader.exec_module(definition)

SHAPES = ((5, 4), (3, 2), (1, 3), (2, 1), (1, 1))
# Rounding of a pixel's coordinate (up to 5) and of sums of some 40 products of normal numbers.
FLOAT32 = {"rtol": 1e-5, "atol": 2e-5}
# The same, and a result rounded to 11 or 8 bits once.
HALF = {torch.float16: {"rtol": 2**-11 + 1e-5, "atol": 2e-5}, torch.bfloat16: {"rtol": 2**-8 + 1e-5, "atol": 2e-5}}


def make(shapes=SHAPES, batch=2, queries=3, heads=2, width=4, points=2, dtype=torch.float64, seed=0) -> list[Tensor]:
    """Return the five arguments, the floating ones as leaves; a third of the locations lies outside."""
    torch.manual_seed(seed)
    table = torch.tensor(shapes, dtype=torch.int64).view(-1, 2)
    sizes = table.prod(1)
    value = torch.randn(batch, int(sizes.sum()), heads, width, dtype=torch.float64)
    locations = torch.rand(batch, queries, heads, len(shapes), points, 2, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.randn(batch, queries, heads, len(shapes), points, dtype=torch.float64)
    floating = [one.to(dtype).requires_grad_() for one in (value, locations, weights)]
    return [floating[0], table, sizes.cumsum(0) - sizes, *floating[1:]]


def with_gradients(function, arguments: list[Tensor]) -> list[Tensor | None]:
    """Return the output and the gradients of value, locations and weights, given a fixed gradient of the output."""
    leaves = [arguments[0], *arguments[3:]]
    output = function(*arguments)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grad = (4 * grad).round() / 4  # exact in every type
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    grads = iter(torch.autograd.grad(output, wanted, grad.to(output.dtype), materialize_grads=True))
    return [output.detach(), *(next(grads) if leaf.requires_grad else None for leaf in leaves)]


def expected(arguments: list[Tensor]) -> list[Tensor | None]:
    value, table, _, locations, weights = arguments
    exact = [one.detach().double().requires_grad_(one.requires_grad) for one in (value, locations, weights)]

    def reference(value, table, starts, locations, weights):
        return definition.reference(value, table, locations, weights)

    return with_gradients(reference, [exact[0], table, None, exact[1], exact[2]])


def assert_close(actual: list[Tensor | None], wanted: list[Tensor | None], **tolerance) -> None:
    for name, one, other in zip(("output", "value", "locations", "weights"), actual, wanted, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            torch.testing.assert_close(one.double(), other, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    shapes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3),
    batch=st.integers(1, 2),
    queries=st.integers(1, 3),
    heads=st.integers(1, 2),
    width=st.integers(1, 5),
    points=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_is_the_definition(shapes, batch, queries, heads, width, points, seed):
    arguments = make(shapes, batch, queries, heads, width, points, seed=seed)
    # float64 on both sides: what is left is the order of the sums
    assert_close(with_gradients(attend, arguments), expected(arguments), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("queries", [3, 40], ids=["one row per corner", "one row per sample"])
def test_gradcheck(queries):
    arguments = make(((4, 3), (2, 2)), queries=queries, batch=1, heads=1, width=2, points=1)
    # One sort key per sample or four: both ways are checked, and this says which one is meant.
    assert (queries * 2 > arguments[0].size(1)) == (queries == 40)
    assert torch.autograd.gradcheck(attend, arguments, fast_mode=queries == 40)


def test_single_precision():
    arguments = make(dtype=torch.float32)
    actual = with_gradients(attend, arguments)
    assert {one.dtype for one in actual} == {torch.float32}
    assert_close(actual, expected(arguments), **FLOAT32)


@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lowered", [(0,), (3,), (4,), (3, 4), (0, 3, 4)], ids=str)
def test_half_precision_is_computed_in_single(low, lowered):
    arguments = make(dtype=torch.float32)
    for k in lowered:
        arguments[k] = arguments[k].detach().to(low).requires_grad_()
    actual = with_gradients(attend, arguments)
    assert [one.dtype for one in actual] == [arguments[k].dtype for k in (0, 0, 3, 4)]
    assert_close(actual, expected(arguments), **HALF[low])


def test_autocast_changes_nothing():
    arguments = make(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = with_gradients(attend, arguments)
    for one, other in zip(inside, with_gradients(attend, arguments), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


@pytest.mark.parametrize("needed", [(0,), (3,), (4,), (0, 3), (0, 4), (3, 4)], ids=str)
def test_gradients_of_some_inputs_only(needed):
    arguments = make()
    wanted = with_gradients(attend, arguments)
    for k, grad in zip((0, 3, 4), (1, 2, 3), strict=True):
        arguments[k] = arguments[k].detach().requires_grad_(k in needed)
        if k not in needed:
            wanted[grad] = None
    assert_close(with_gradients(attend, arguments), wanted, rtol=0, atol=0)


def test_without_gradients_none_are_computed(monkeypatch):
    monkeypatch.setattr(path, "_dots", None)  # calling it fails
    arguments = make()
    for k in (3, 4):
        arguments[k] = arguments[k].detach()
    assert with_gradients(attend, arguments)[1] is not None


def test_any_strides():
    arguments = make(queries=4)
    wanted = with_gradients(attend, arguments)
    for k in (0, 3, 4):
        dims = range(arguments[k].ndim)
        swapped = arguments[k].detach().permute(*reversed(dims)).contiguous().permute(*reversed(dims))
        assert not swapped.is_contiguous()
        arguments[k] = swapped.requires_grad_()
    assert_close(with_gradients(attend, arguments), wanted, rtol=0, atol=0)
    # Locations that all queries share, and an output gradient without strides, as `sum` has.
    shared = arguments[3].detach()[:, :1].expand(-1, 4, -1, -1, -1, -1).requires_grad_()
    attend(*arguments[:3], shared, arguments[4]).sum().backward()
    torch.testing.assert_close(
        shared.grad,
        torch.autograd.grad(
            attend(*arguments[:3], copy := shared.detach().clone().requires_grad_(), arguments[4]).sum(), copy
        )[0],
    )


@pytest.mark.parametrize(
    "sizes",
    [
        {"batch": 0},
        {"queries": 0},
        {"heads": 0},
        {"width": 0},
        {"points": 0},
        {"shapes": ()},
        {"shapes": ((0, 3), (2, 0))},
    ],
    ids=str,
)
def test_nothing_to_sum_gives_zeros(sizes):
    arguments = make(**sizes)
    value, locations = arguments[0], arguments[3]
    output, *grads = with_gradients(attend, arguments)
    assert output.shape == (value.size(0), locations.size(1), value.size(2) * value.size(3))
    assert not output.any()
    for one, argument in zip(grads, (value, *arguments[3:]), strict=True):
        assert one.shape == argument.shape
        assert not one.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e9, -1e9])
@pytest.mark.parametrize("coordinates", [(0,), (1,), (0, 1)], ids=["x", "y", "both"])
def test_location_that_is_no_number(bad, coordinates):
    arguments = make(queries=30)
    with torch.no_grad():
        for k in coordinates:
            arguments[3][:, ::3, :, :, 0, k] = bad
    actual = with_gradients(attend, arguments)
    assert all(one.isfinite().all() for one in actual)
    assert not actual[2][:, ::3, :, :, 0].any()
    assert not actual[3][:, ::3, :, :, 0].any()
    assert_close(actual, expected(arguments), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("pixel", [-1.5, -1, -0.5, 0, 0.5, 1, 2, 2.5, 3, 3.5, 4, 4.5])
@pytest.mark.parametrize("shape", [(4, 4), (1, 4), (4, 1)], ids=str)
def test_on_the_border(shape, pixel):
    # Sizes are powers of two: these pixels are met exactly, kinks of the bilinear weights included.
    arguments = make((shape,), queries=2)
    height, width = shape
    with torch.no_grad():
        arguments[3][:, 0, ..., 0] = (pixel + 0.5) / width
        arguments[3][:, 1, ..., 1] = (pixel + 0.5) / height
    assert_close(with_gradients(attend, arguments), expected(arguments), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("table", [[[99, 99], [3, 2]], [[-4, 3], [2, -1]], [[2**40, 2**40], [0, 5]]], ids=str)
@pytest.mark.parametrize("starts", [[0, 20], [-7, 10**9], [25, 25]], ids=str)
def test_wrong_tables_lead_nowhere(table, starts):
    # On the CPU `embedding_bag` refuses a row outside.
    arguments = make(SHAPES[:2], queries=20)
    arguments[1:3] = torch.tensor(table), torch.tensor(starts)
    assert all(one.isfinite().all() for one in with_gradients(attend, arguments))


@pytest.mark.parametrize("queries", [3, 40], ids=["one row per corner", "one row per sample"])
def test_chunks_change_nothing(monkeypatch, queries):
    arguments = make(queries=queries)
    whole = with_gradients(attend, arguments)
    for samples in (1, 7 * arguments[4][0, 0].numel()):
        monkeypatch.setattr(path, "CHUNK", samples)
        assert len(list(path._chunks(arguments[3], 4))) > 1 or queries < 7
        for one, other in zip(with_gradients(attend, arguments), whole, strict=True):
            assert torch.equal(one, other)


def test_accelerators_way_is_the_same(monkeypatch):
    arguments = make(queries=40)
    wanted = with_gradients(attend, arguments)
    monkeypatch.setattr(path, "_on_cpu", lambda tensor: False)
    monkeypatch.setattr(path, "_create_first_csr_tensor", None)  # calling it fails
    # float64 on both sides: what differs is the order of the sums
    assert_close(with_gradients(attend, arguments), wanted, rtol=1e-10, atol=1e-11)


def test_saves_the_inputs_alone():
    arguments = make(dtype=torch.float16)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        attend(*arguments)
    assert sorted(one.data_ptr() for one in saved) == sorted(one.data_ptr() for one in arguments)


class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest of all results of operations, in elements, and what `new_empty` made."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.reserved = 0, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            # A sparse matrix counts by its values, which are results of their own.
            if isinstance(one, Tensor) and one.layout == torch.strided:
                self.largest = max(self.largest, one.numel())
        if operation is torch.ops.aten.new_empty.default:
            self.reserved.append(result.shape)
        return result


def sizes_of(function, *arguments) -> Sizes:
    with Sizes() as sizes:
        function(*arguments)
    return sizes


WIDE = {"shapes": ((8, 8), (4, 4)), "batch": 1, "queries": 50, "width": 64, "points": 8, "dtype": torch.float32}


def test_holds_no_sampled_rows():
    arguments = [one.detach() for one in make(**WIDE)]
    value, samples = arguments[0], arguments[4].numel()
    grad = torch.randn(1, 50, 128)
    # The arguments, their gradients, and four numbers per sample for its four pixels; never `width` per sample.
    allowed = max(value.numel(), grad.numel(), 4 * samples)
    assert allowed < samples * 64 // 4
    assert sizes_of(path._forward, *arguments).largest <= allowed
    assert sizes_of(path._backward, grad, *arguments, True, True).largest <= allowed


@pytest.mark.parametrize("chunk", [2**25, 2**14])
def test_holds_a_chunks_sampled_rows_on_accelerators(monkeypatch, chunk):
    monkeypatch.setattr(path, "_on_cpu", lambda tensor: False)
    monkeypatch.setattr(path, "ACCELERATOR_CHUNK", chunk)
    arguments = [one.detach() for one in make(**WIDE)]
    samples = arguments[4].numel()
    assert sizes_of(path._forward, *arguments).largest < samples * 64 // 4
    largest = sizes_of(path._backward, torch.randn(1, 50, 128), *arguments, True, True).largest
    # One pixel of each of a chunk's samples; a chunk is whole queries, of 32 samples each.
    assert largest == min(samples, chunk // 64 // 32 * 32) * 64


@pytest.mark.parametrize(("batch", "dtype"), [(1, torch.float32), (2, torch.float32), (1, torch.float16)], ids=str)
def test_reserves_no_gradient_that_is_not_returned(batch, dtype):
    arguments = [one.detach() for one in make(batch=batch, dtype=dtype)]
    sizes = sizes_of(path._backward, torch.randn(batch, 3, 8, dtype=dtype), *arguments, True, True)
    # The sum over one image in single precision is the gradient itself.
    assert (arguments[0].shape in sizes.reserved) == ((batch, dtype) != (1, torch.float32))


def test_warns_of_nothing():
    program = """
import torch
from mmrepro.ops.ms_deform_attn_torch import attend
value = torch.randn(1, 4, 2, 4, requires_grad=True)
locations = torch.rand(1, 3, 2, 1, 1, 2, requires_grad=True)
attend(value, torch.tensor([[2, 2]]), torch.tensor([0]), locations, torch.rand(1, 3, 2, 1, 1)).sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_has_no_second_derivative():
    arguments = make()
    (grad,) = torch.autograd.grad(attend(*arguments).sum(), arguments[0], create_graph=True)
    with pytest.raises(RuntimeError, match="ms_deform_attn has no second derivative"):
        torch.autograd.grad(grad.sum(), arguments[4])


def test_operator_keeps_torchs_rules():
    # Schema, shapes of fake tensors, registration of the derivative, and the compiler's view of it with dynamic sizes.
    torch.library.opcheck(torch.ops.mmrepro.ms_deform_attn_torch.default, make(dtype=torch.float32))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_as_a_whole(dynamic):
    torch.compiler.reset()
    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for queries in (3, 5):
        arguments = make(queries=queries, dtype=torch.float32)
        for one, other in zip(with_gradients(compiled, arguments), with_gradients(attend, arguments), strict=True):
            assert torch.equal(one, other)
