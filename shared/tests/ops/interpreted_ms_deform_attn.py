"""The Triton kernels on the CPU, through Triton's interpreter: `test_ms_deform_attn_triton.py` runs this file.

Triton decides when it is imported whether kernels are interpreted, hence the process of its own:
`TRITON_INTERPRET=1 python -m pytest shared/tests/ops/interpreted_ms_deform_attn.py`.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmrepro.ops import ms_deform_attn_triton as path

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parent / "reference.py")
definition = importlib.util.module_from_spec(spec)
spec.loader.exec_module(definition)

LEVELS = ((3, 4), (2, 2), (1, 3), (2, 1), (1, 1))
# Sums are in float32 (float64 for float64): a hundred times their rounding is allowed. One rounding to the tensor's own
# type follows, to the nearest: half a unit in the last place. To bfloat16 the interpreter cuts off: a whole unit.
TOLERANCE = {
    torch.float64: dict(rtol=1e-12, atol=1e-12),
    torch.float32: dict(rtol=2e-6, atol=1e-5),
    torch.float16: dict(rtol=2**-11, atol=1e-5),
    torch.bfloat16: dict(rtol=2**-7, atol=1e-5),
}


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


def table(levels: tuple) -> tuple[Tensor, Tensor]:
    shapes = torch.tensor(levels, dtype=torch.int64).view(-1, 2)
    sizes = shapes.prod(1)
    return shapes, sizes.cumsum(0) - sizes


def draw(
    batch=2, queries=3, heads=2, width=4, levels=LEVELS[:2], points=2, dtype=torch.float64, taps=None
) -> list[Tensor]:
    """Draw sound arguments; a fifth of the locations lies outside its level."""
    taps = taps or dtype
    shapes, starts = table(levels)
    cells = int(shapes.prod(1).sum())
    value = torch.randn(batch, cells, heads, width).to(dtype)
    locations = (torch.rand(batch, queries, heads, len(levels), points, 2) * 1.2 - 0.1).to(taps)
    weights = torch.rand(batch, queries, heads, len(levels), points).to(taps)
    return [value, shapes, starts, locations, weights]


def differentiate(attend, arguments: list[Tensor], grad: Tensor | None = None) -> list[Tensor]:
    """Return the output and the gradients of value, locations and weights."""
    arguments = [one.detach().requires_grad_(one.is_floating_point()) for one in arguments]
    output = attend(*arguments)
    grad = torch.randn_like(output) if grad is None else grad.to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, [arguments[0], *arguments[3:]], grad)]


def by_definition(arguments: list[Tensor], grad: Tensor) -> list[Tensor]:
    exact = [one.detach().double().requires_grad_() for one in (arguments[0], *arguments[3:])]
    output = definition.reference(exact[0], arguments[1], *exact[1:])
    output = output + 0 * exact[0].sum()  # where no level has a cell, the loop meets no argument
    grads = torch.autograd.grad(output, exact, grad.double(), allow_unused=True, materialize_grads=True)
    return [output.detach(), *grads]


def compare(arguments: list[Tensor]) -> None:
    """Output and gradients are the definition's, each in its argument's own type."""
    value, locations, weights = arguments[0], *arguments[3:]
    grad = torch.randn(*weights.shape[:2], weights.size(2) * value.size(3)).to(value.dtype)
    found = differentiate(path.attend, arguments, grad)
    expected = by_definition(arguments, grad)
    for name, one, other, like in zip(
        ("output", "value", "locations", "weights"), found, expected, (value, value, locations, weights), strict=True
    ):
        assert one.dtype == like.dtype
        tolerance = dict(TOLERANCE[one.dtype])
        if name != "output":  # sums over channels and size of the level, or over queries: of this magnitude
            tolerance["atol"] *= max(1, float(other.abs().max())) if other.numel() else 1
        torch.testing.assert_close(one.double(), other, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def test_the_path_runs_here_because_kernels_are_interpreted():
    assert path.interpreted()
    assert path.why_not("cpu") is None
    path._rehearse(torch.device("cpu"))


@pytest.mark.parametrize(
    ("width", "heads", "levels", "points", "dtype", "taps"),
    [
        (1, 1, 1, 1, torch.float32, torch.float32),
        (5, 3, 2, 3, torch.float64, torch.float64),
        (5, 16, 1, 1, torch.bfloat16, torch.bfloat16),
        (24, 2, 3, 2, torch.float32, torch.float32),
        (24, 1, 2, 1, torch.float16, torch.float16),
        (32, 8, 1, 2, torch.float32, torch.float16),
        (32, 2, 2, 8, torch.float16, torch.float32),
        (48, 1, 5, 1, torch.bfloat16, torch.float32),
        (64, 2, 2, 2, torch.float32, torch.bfloat16),
        (64, 1, 1, 5, torch.float64, torch.float64),
        (200, 1, 2, 1, torch.float32, torch.float32),
    ],
)
def test_output_and_gradients_are_the_definition_s(width, heads, levels, points, dtype, taps):
    compare(draw(1, 2, heads, width, LEVELS[:levels], points, dtype, taps))


def test_rows_beyond_one_program_and_queries_of_several_images():
    compare(draw(batch=3, queries=23, heads=2, width=32, levels=LEVELS[:1], points=1))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_sizes_and_any_locations(data):
    level = st.tuples(st.integers(0, 4), st.integers(0, 4))
    levels = tuple(data.draw(st.lists(level, min_size=1, max_size=3)))
    size = st.integers(1, 3)
    arguments = draw(data.draw(size), data.draw(size), data.draw(size), data.draw(size), levels, data.draw(size))
    # borders and centres of cells, where a neighbour comes or goes, and what is no place at all
    places = [
        -1.0,
        -0.5,
        -0.25,
        0.0,
        0.125,
        0.25,
        1 / 3,
        0.5,
        2 / 3,
        0.75,
        1.0,
        1.125,
        1.25,
        1.5,
        2.0,
        1e9,
        math.nan,
        math.inf,
    ]
    locations = arguments[3]
    for index in data.draw(st.lists(st.integers(0, locations.numel() - 1), max_size=12)):
        locations.view(-1)[index] = data.draw(st.sampled_from(places))
    compare(arguments)


def test_borders_of_a_level():
    """Pixels around every border, in both directions; on a power of two, what float32 computes of them is exact."""
    width, height = 4, 2
    across = torch.tensor([-1.5, -1.0, -0.9375, -0.5, 0.0, 0.5, 3.0, 3.5, 3.9375, 4.0, 4.5])
    down = torch.tensor([-1.5, -1.0, -0.9375, -0.5, 0.0, 0.5, 1.0, 1.5, 1.9375, 2.0, 2.5])
    arguments = draw(1, 1, 1, 2, ((height, width),), 121, torch.float32)
    grid = torch.stack(torch.meshgrid((across + 0.5) / width, (down + 0.5) / height, indexing="xy"), dim=-1)
    arguments[3] = grid.view(1, 1, 1, 1, 121, 2)
    compare(arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("place", [math.nan, math.inf, -math.inf, "largest", "smallest"])
def test_a_location_that_is_nowhere_counts_as_zero_and_gets_no_gradient(dtype, place):
    limits = torch.finfo(dtype)
    place = {"largest": limits.max, "smallest": limits.min}.get(place, place)
    arguments = draw(1, 2, 1, 3, points=3, dtype=dtype)
    arguments[3][0, 0, 0, 0, 1, 0] = place
    arguments[3][0, 1, 0, 1, 2, 1] = place
    output, grad_value, grad_locations, grad_weights = differentiate(path.attend, arguments)
    nowhere = torch.zeros_like(arguments[4], dtype=torch.bool)
    nowhere[0, 0, 0, 0, 1] = nowhere[0, 1, 0, 1, 2] = True
    assert not grad_locations[nowhere].any()
    assert not grad_weights[nowhere].any()
    without = [*arguments[:4], arguments[4].masked_fill(nowhere, 0)]
    without[3] = without[3].masked_fill(nowhere[..., None], 0.5)
    torch.manual_seed(0)
    torch.testing.assert_close(output, path.attend(*without))
    assert grad_value.isfinite().all()


WRONG_TABLES = {
    "larger levels": ([[30, 40], [20, 20]], [0, 12]),
    "levels that start too late": ([[3, 4], [2, 2]], [14, 2**40]),
    "levels that start before the first cell": ([[3, 4], [2, 2]], [-5, -(2**40)]),
    "negative sizes": ([[-3, 4], [2, -2]], [0, 12]),
    "numbers from uninitialised memory": ([[2**62, 2**62], [-(2**63), 2**63 - 1]], [2**63 - 1, -(2**63)]),
    "sizes of which the product overflows": ([[2**33, 2**33], [2**31, 4]], [3, 12]),
}


@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_a_wrong_table_of_levels_reaches_nothing_outside_the_value(wrong):
    """Around the value and around its gradient lies NaN: reading it shows in the output, adding to it in itself."""
    shapes, starts = (torch.tensor(one, dtype=torch.int64) for one in WRONG_TABLES[wrong])
    value, _, _, locations, weights = draw(2, 8, 2, 4, points=4)
    locations = torch.cat([locations[:, :4] * 3 - 1, locations[:, 4:] * 2.0**-30], dim=1)
    room = 40 * value.size(2) * value.size(3)

    def fence(inner: Tensor) -> tuple[Tensor, Tensor]:
        field = torch.full((inner.numel() + 2 * room,), math.nan, dtype=inner.dtype)
        field[room:-room] = inner.flatten()
        return field, field[room:-room].view(inner.shape)

    _, inside = fence(value)
    output = path.attend(inside, shapes, starts, locations, weights)
    assert output.isfinite().all()
    field, grad_value = fence(torch.zeros_like(value))
    grads = torch.empty_like(locations), torch.empty_like(weights)
    tensors = [torch.ones_like(output), inside, shapes, starts, locations, weights, grad_value, *grads]
    path._launch(
        path._kernels().weigh_backward, inside, weights, tensors, FOR_VALUE=True, FOR_TAPS=True, **path.BACKWARD
    )
    assert all(grad.isfinite().all() for grad in (grad_value, *grads))
    assert field[:room].isnan().all()
    assert field[-room:].isnan().all()


def test_the_fence_around_a_value_sees_a_right_table():
    """The test above would see nothing if its locations met nothing."""
    value, shapes, starts, locations, weights = draw(2, 8, 2, 4, points=4)
    assert path.attend(value, shapes, starts, locations * 3 - 1, weights).any()


@pytest.mark.parametrize(
    "sizes",
    [
        dict(batch=0),
        dict(queries=0),
        dict(points=0),
        dict(heads=0),
        dict(width=0),
        dict(levels=()),
        dict(levels=((0, 0),)),
        dict(levels=((0, 3), (2, 0))),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_gives_zeros_of_the_right_shapes(sizes, dtype):
    arguments = draw(**sizes, dtype=dtype)
    value, weights = arguments[0], arguments[4]
    found = differentiate(path.attend, arguments)
    assert found[0].shape == (*weights.shape[:2], weights.size(2) * value.size(3))
    for one, like in zip(found, [found[0], value, *arguments[3:]], strict=True):
        assert one.shape == like.shape
        assert one.dtype == like.dtype
        assert not one.any()


def test_one_empty_level_among_others():
    compare(draw(levels=((3, 4), (0, 5), (2, 2))))


def test_inputs_and_gradients_that_are_not_contiguous():
    value, shapes, starts, locations, weights = draw()
    strided = [
        value.transpose(1, 2).contiguous().transpose(1, 2),
        shapes.t().contiguous().t(),
        torch.stack([starts, starts], dim=1)[:, 0],
        locations.flip(-1).contiguous().flip(-1).transpose(0, 3).contiguous().transpose(0, 3),
        weights.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0),
    ]
    assert not any(one.is_contiguous() for one in strided)
    grad = torch.ones((), dtype=value.dtype).expand(2, 3, 8)  # what sum().backward() passes
    for one, other in zip(
        differentiate(path.attend, strided, grad),
        differentiate(path.attend, [value, shapes, starts, locations, weights], grad.contiguous()),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("wanted", [w for w in itertools.product((False, True), repeat=3) if any(w)])
def test_gradients_only_of_what_asks_for_one(wanted):
    arguments = draw()
    floating = [arguments[index] for index in (0, 3, 4)]
    grad = torch.randn(2, 3, 8, dtype=torch.float64)
    full = differentiate(path.attend, arguments, grad)[1:]
    for one, asks in zip(floating, wanted, strict=True):
        one.requires_grad_(asks)
    path.attend(*arguments).backward(grad)
    for one, expected, asks in zip(floating, full, wanted, strict=True):
        assert (one.grad is not None) == asks
        assert not asks or torch.equal(one.grad, expected)


def test_only_the_inputs_are_saved_for_the_backward_pass():
    arguments = draw()
    arguments[0].requires_grad_()
    saved = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        path.attend(*arguments)
    assert saved == [one.data_ptr() for one in arguments]


def test_autocast_does_not_act_inside():
    arguments = draw(dtype=torch.float32)
    plain = path.attend(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(path.attend(*arguments), plain)


def test_torch_compile_takes_the_operator_whole():
    """Forward and backward in one graph, with sizes that change."""
    compiled = torch.compile(
        lambda value, *rest: path.attend(value * 2, *rest) + 1, fullgraph=True, backend="aot_eager", dynamic=True
    )
    for queries in (3, 5):
        arguments = draw(queries=queries)
        grad = torch.randn(2, queries, 8, dtype=torch.float64)
        for one, other in zip(
            differentiate(compiled, arguments, grad),
            differentiate(lambda value, *rest: path.attend(value * 2, *rest) + 1, arguments, grad),
            strict=True,
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operator_keeps_pytorch_s_rules(dtype):
    """Schema, registration of the gradient, and shapes without data (of both operators) agree with what runs."""
    value, shapes, starts, locations, weights = draw(1, 2, 1, 2, points=1, dtype=dtype)
    arguments = value.requires_grad_(), shapes, starts, locations.requires_grad_(), weights.requires_grad_()
    torch.library.opcheck(path._attend, arguments)
    detached = tuple(one.detach() for one in arguments)
    grad = torch.ones(1, 2, 2, dtype=dtype)
    for flags in itertools.product((False, True), repeat=2):
        torch.library.opcheck(path._attend_backward, (grad, *detached, *flags))


def test_deterministic_algorithms_refuse_the_gradient_of_the_value_only():
    arguments = draw(1, 1, 1, 1)
    arguments[0].requires_grad_()
    arguments[4].requires_grad_()
    output = path.attend(*arguments)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="in no fixed order; ask before the forward pass, or set MMREPRO_MSDA"):
            torch.autograd.grad(output.sum(), arguments[0], retain_graph=True)
        output = path.attend(arguments[0].detach(), *arguments[1:])
        assert torch.autograd.grad(output.sum(), arguments[4])[0].any()
    finally:
        torch.use_deterministic_algorithms(False)
