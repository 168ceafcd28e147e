"""The Triton path on a GPU, beside the pure path; nothing here runs without one.

`python -m pytest shared/tests/ops/test_ms_deform_attn_cuda.py` on a machine with a GPU says whether the path works.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import Tensor

from mmrepro.ops import ms_deform_attn, ms_deform_attn_torch
from mmrepro.ops import ms_deform_attn_triton as path

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda"
# four levels of an image of 800 x 1333, scaled down to a quarter
LEVELS = ((25, 42), (13, 21), (7, 11), (4, 6))
# Both paths sum in float32 (float64) and round once to the type; the pure path is fed the same numbers in float64.
# Hundreds of contributions cancel in a gradient, hence the share of its largest entry.
TOLERANCE = {
    torch.float64: dict(rtol=1e-10, atol=1e-12),
    torch.float32: dict(rtol=1e-5, atol=1e-5),
    torch.float16: dict(rtol=2**-10, atol=1e-5),
    torch.bfloat16: dict(rtol=2**-7, atol=1e-5),
}


@pytest.fixture(autouse=True)
def runnable():
    obstacle = path.why_not(DEVICE)
    if obstacle:
        pytest.skip(obstacle)
    torch.manual_seed(0)


def table(levels: tuple) -> tuple[Tensor, Tensor]:
    shapes = torch.tensor(levels, dtype=torch.int64, device=DEVICE).view(-1, 2)
    sizes = shapes.prod(1)
    return shapes, sizes.cumsum(0) - sizes


def draw(
    batch=2, queries=300, heads=8, width=32, levels=LEVELS, points=4, dtype=torch.float32, taps=None
) -> list[Tensor]:
    """Draw arguments; a few locations are outside, none so close to a cell's centre that float32 finds another cell."""
    taps = taps or dtype
    shapes, starts = table(levels)
    value = torch.randn(batch, int(shapes.prod(1).sum()), heads, width, device=DEVICE).to(dtype)
    size = shapes.flip(1)[:, None].double()  # (L, 1, 2) as (W, H)
    place = torch.rand(batch, queries, heads, len(levels), points, 2, dtype=torch.float64, device=DEVICE)
    pixel = place * (size + 4) - 2
    pixel = pixel.floor() + (pixel - pixel.floor()).clamp(0.02, 0.98)
    weights = torch.rand(batch, queries, heads, len(levels), points, device=DEVICE)
    return [value, shapes, starts, ((pixel + 0.5) / size).to(taps), (weights / (4 * points)).to(taps)]


def differentiate(attend, arguments: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Return the output and the gradients of value, locations and weights."""
    arguments = [one.detach().requires_grad_(one.is_floating_point()) for one in arguments]
    output = attend(*arguments)
    return [output.detach(), *torch.autograd.grad(output, [arguments[0], *arguments[3:]], grad.to(output.dtype))]


def compare(arguments: list[Tensor]) -> None:
    value, weights = arguments[0], arguments[4]
    grad = torch.randn(*weights.shape[:2], weights.size(2) * value.size(3), device=DEVICE).to(value.dtype)
    found = differentiate(path.attend, arguments, grad)
    exact = [one.double() if one.is_floating_point() else one for one in arguments]
    expected = differentiate(ms_deform_attn_torch.attend, exact, grad)
    likes = [value, value, *arguments[3:]]
    for name, one, other, like in zip(("output", "value", "locations", "weights"), found, expected, likes, strict=True):
        assert one.dtype == like.dtype
        tolerance = dict(TOLERANCE[one.dtype])
        tolerance["atol"] *= max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one.double(), other, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("dtype", "taps"),
    [
        (torch.float32, torch.float32),
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float64, torch.float64),
    ],
)
def test_every_type(dtype, taps):
    compare(draw(dtype=dtype, taps=taps))


@pytest.mark.parametrize(
    "sizes",
    [
        dict(batch=1, queries=sum(height * width for height, width in LEVELS)),
        dict(queries=900),
        dict(heads=16, width=48, levels=LEVELS[:1]),
        dict(heads=6, width=64, levels=LEVELS[1:], queries=77),
        dict(heads=1, width=1, points=1),
        dict(heads=3, width=5, points=7),
        dict(heads=2, width=256, queries=33),
        dict(batch=5, queries=1, levels=((3, 4), (0, 2))),
    ],
    ids=str,
)
def test_sizes_of_encoders_decoders_and_odd_ones(sizes):
    compare(draw(**sizes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_locations_that_are_nowhere_count_as_zero_and_get_no_gradient(dtype):
    arguments = draw(dtype=dtype)
    limits = torch.finfo(dtype)
    nowhere = torch.rand(arguments[4].shape, device=DEVICE) < 0.3
    places = torch.tensor([math.nan, math.inf, -math.inf, limits.max, limits.min], dtype=dtype, device=DEVICE)
    arguments[3][nowhere] = places[torch.randint(5, (int(nowhere.sum()), 2), device=DEVICE)]
    grad = torch.randn(2, 300, 256, device=DEVICE)
    output, grad_value, grad_locations, grad_weights = differentiate(path.attend, arguments, grad)
    assert not grad_locations[nowhere].any()
    assert not grad_weights[nowhere].any()
    assert grad_value.isfinite().all()
    without = [*arguments[:3], arguments[3].masked_fill(nowhere[..., None], 0.5), arguments[4].masked_fill(nowhere, 0)]
    assert torch.equal(output, path.attend(*without))


WRONG_TABLES = {
    "larger levels": ([[250, 420], [130, 210], [70, 110], [40, 60]], [0, 1050, 1323, 1400]),
    "levels that start elsewhere": ([list(level) for level in LEVELS], [1300, -500, 2**40, -(2**40)]),
    "numbers from uninitialised memory": (
        [[2**62, 2**62], [-(2**63), 2**63 - 1], [2**33, 2**33], [-4, 6]],
        [2**63 - 1, -(2**63), 7, 0],
    ),
}


@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_a_wrong_table_of_levels_reaches_nothing_outside_the_value(wrong):
    """Around the value and around its gradient lies NaN: reading it shows in the output, adding to it in itself."""
    shapes, starts = (torch.tensor(one, dtype=torch.int64, device=DEVICE) for one in WRONG_TABLES[wrong])
    value, _, _, locations, weights = draw()
    locations[:, ::2] *= 2.0**-30
    room = 2000 * 256

    def fence(inner: Tensor) -> tuple[Tensor, Tensor]:
        field = torch.full((inner.numel() + 2 * room,), math.nan, device=DEVICE)
        field[room:-room] = inner.flatten()
        return field, field[room:-room].view(inner.shape)

    _, inside = fence(value)
    field, grad_value = fence(torch.zeros_like(value))
    output = path.attend(inside, shapes, starts, locations, weights)
    grads = torch.empty_like(locations), torch.empty_like(weights)
    tensors = [torch.ones_like(output), inside, shapes, starts, locations, weights, grad_value, *grads]
    path._launch(
        path._kernels().weigh_backward, inside, weights, tensors, FOR_VALUE=True, FOR_TAPS=True, **path.BACKWARD
    )
    assert all(one.isfinite().all() for one in (output, grad_value, *grads))
    assert field[:room].isnan().all()
    assert field[-room:].isnan().all()


def test_more_than_two_to_the_31_numbers():
    """The last cell of a value of 2^31 numbers is read and gets its gradient: offsets do not overflow."""
    if torch.cuda.mem_get_info()[0] < 30 * 2**30:
        pytest.skip("needs 30 GiB of free GPU memory")
    cells = 2**31 // 256 + 3
    value = torch.zeros(1, cells, 8, 32, dtype=torch.bfloat16, device=DEVICE)
    value[0, -1] = 7
    shapes, starts = table(((1, 1),))[0], torch.tensor([cells - 1], device=DEVICE)
    locations = torch.full((1, 1, 8, 1, 1, 2), 0.5, device=DEVICE)
    weights = torch.ones(1, 1, 8, 1, 1, device=DEVICE)
    output = path.attend(value.requires_grad_(), shapes, starts, locations, weights)
    assert (output == 7).all()
    (grad,) = torch.autograd.grad(output.sum(), value)
    assert (grad[0, -1] == 1).all()
    assert not grad[0, :3].any()


def test_nothing_waits_for_the_device():
    arguments = draw()
    grad = torch.randn(2, 300, 256, device=DEVICE)
    differentiate(path.attend, arguments, grad)
    torch.cuda.set_sync_debug_mode("error")
    try:
        differentiate(path.attend, arguments, grad)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_autocast_does_not_act_inside():
    arguments = draw(taps=torch.float16)
    plain = path.attend(*arguments)
    with torch.autocast(DEVICE, dtype=torch.float16):
        assert torch.equal(path.attend(*arguments), plain)


def test_all_but_the_gradient_of_the_value_is_deterministic():
    arguments = draw()
    grad = torch.randn(2, 300, 256, device=DEVICE)
    first, second = (differentiate(path.attend, arguments, grad) for _ in range(2))
    for index in (0, 2, 3):
        assert torch.equal(first[index], second[index])


def test_deterministic_algorithms_take_the_pure_path():
    arguments = draw(dtype=torch.float32)
    grad = torch.randn(2, 300, 256, device=DEVICE)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (differentiate(ms_deform_attn, arguments, grad) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile_takes_the_operator_whole(backend):
    def double(value: Tensor, *rest: Tensor) -> Tensor:
        return ms_deform_attn(value * 2, *rest) + 1

    arguments = draw()
    grad = torch.randn(2, 300, 256, device=DEVICE)
    compiled = torch.compile(double, fullgraph=True, backend=backend)
    found, expected = (differentiate(one, arguments, grad) for one in (compiled, double))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_present_one():
    arguments = [one.to("cuda:1") for one in draw()]
    torch.testing.assert_close(path.attend(*arguments), ms_deform_attn_torch.attend(*arguments), rtol=1e-5, atol=1e-5)


def test_without_a_compiler_the_pure_path_is_taken_with_one_warning(tmp_path):
    """Triton with an empty cache and an empty PATH, in a process of its own."""
    program = """
        import warnings
        import torch
        from mmrepro.ops import ms_deform_attn
        from mmrepro.ops.ms_deform_attn_triton import why_not
        value, shapes = torch.ones(1, 1, 1, 1).cuda(), torch.ones(1, 2).long().cuda()
        taps = torch.full((1, 1, 1, 1, 1, 2), 0.5).cuda(), torch.ones(1, 1, 1, 1, 1).cuda()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                assert float(ms_deform_attn(value, shapes, shapes[0, :1] - 1, *taps)) == 1
        assert "finds no C compiler" in why_not("cuda"), why_not("cuda")
        assert sum("C compiler" in str(one.message) for one in caught) == 1
    """
    environment = {name: text for name, text in os.environ.items() if name not in ("CC", "MMREPRO_MSDA")}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**environment, "PATH": "", "TRITON_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout
