"""The one function: what it refuses, and which path it takes."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import ModuleType, SimpleNamespace

import pytest
import torch

from mmrepro.ops import dispatch, ext, finder, ms_deform_attn

SHAPES = ((4, 6), (2, 3))


def arguments(batch=2, queries=5, heads=3, channels=4, points=2, shapes=SHAPES, dtype=torch.float32) -> dict:
    """Return sound arguments by name."""
    torch.manual_seed(0)
    table = torch.tensor(shapes, dtype=torch.int64).view(-1, 2)
    sizes = table.prod(1)
    return {
        "value": torch.randn(batch, int(sizes.sum()), heads, channels, dtype=dtype),
        "spatial_shapes": table,
        "level_start_index": sizes.cumsum(0) - sizes,
        "sampling_locations": torch.rand(batch, queries, heads, len(shapes), points, 2, dtype=dtype),
        "attention_weights": torch.rand(batch, queries, heads, len(shapes), points, dtype=dtype),
    }


BAD_SHAPES = {
    "value": [
        (lambda t: t[0], r"value must be \(B, S, heads, channels\), it is \(30, 3, 4\)"),
        (lambda t: t[:, :-1], r"levels \[\[4, 6\], \[2, 3\]\] have 30 pixels together, value has 29 rows"),
        (lambda t: t[:, :, :2], r"sampling_locations is .* it must be \(2, 5, 2, 2, 2, 2\)"),
        (lambda t: t[:1], r"sampling_locations is .* it must be \(1, 5, 3, 2, 2, 2\)"),
    ],
    "spatial_shapes": [
        (lambda t: t.flatten(), r"spatial_shapes must be \(L, 2\)"),
        (lambda t: t.t()[:, :1].repeat(1, 3), r"spatial_shapes must be \(L, 2\)"),
        (lambda t: t[:1], r"level_start_index must be \(1,\) as spatial_shapes has 1 levels, it is \(2,\)"),
        (
            lambda t: t.flip(0),
            r"level_start_index is \[0, 24\]; levels of sizes \[\[2, 3\], \[4, 6\]\] start at \[0, 6\]",
        ),
        (lambda t: t * torch.tensor([-1, 1]), "negative size"),
        (lambda t: t + 1, "pixels together"),
    ],
    "level_start_index": [
        (lambda t: t[:1], r"level_start_index must be \(2,\)"),
        (lambda t: t + 1, r"level_start_index is \[1, 25\]"),
    ],
    "sampling_locations": [
        (lambda t: t[..., 0], r"sampling_locations must be \(B, N, heads, L, P, 2\)"),
        (lambda t: t[..., :1], r"sampling_locations must be"),
        (lambda t: t[:, :, :, :1], r"sampling_locations is"),
        (lambda t: t[:, :3], r"attention_weights is"),
    ],
    "attention_weights": [
        (lambda t: t[..., :1], r"attention_weights is \(2, 5, 3, 2, 1\); .* it must be \(2, 5, 3, 2, 2\)"),
        (lambda t: t.flatten(3), r"attention_weights is \(2, 5, 3, 4\)"),
    ],
}


@pytest.mark.parametrize("name", BAD_SHAPES)
@pytest.mark.parametrize("path", ["", *dispatch.PATHS])  # before a path is chosen, so the same on all
def test_shapes_that_do_not_fit_are_named(name, path, monkeypatch):
    monkeypatch.setenv("MMREPRO_MSDA", path)
    for break_it, message in BAD_SHAPES[name]:
        broken = arguments()
        broken[name] = break_it(broken[name])
        with pytest.raises(ValueError, match=message):
            ms_deform_attn(**broken)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("value", torch.int64),
        ("value", torch.complex64),
        ("value", torch.float64),
        ("sampling_locations", torch.float64),
        ("sampling_locations", torch.bool),
        ("attention_weights", torch.float64),
        ("attention_weights", torch.int32),
        ("spatial_shapes", torch.float32),
        ("spatial_shapes", torch.bool),
        ("level_start_index", torch.int16),
    ],
)
def test_data_types_that_do_not_fit_are_named(name, dtype):
    broken = arguments()
    broken[name] = broken[name].to(dtype)
    # a value of double precision is seen at the first argument that it does not go with
    named = "sampling_locations" if (name, dtype) == ("value", torch.float64) else name
    with pytest.raises(TypeError, match=f"^{named} (must|is)"):
        ms_deform_attn(**broken)


@pytest.mark.parametrize("name", list(arguments()))
def test_what_is_no_tensor_is_named(name):
    broken = arguments()
    broken[name] = broken[name].tolist()
    with pytest.raises(TypeError, match=f"{name} must be a tensor, it is of type list"):
        ms_deform_attn(**broken)


def test_devices_must_agree():
    broken = arguments()
    broken["spatial_shapes"] = broken["spatial_shapes"].to("meta")
    with pytest.raises(ValueError, match="spatial_shapes is on meta, value on cpu"):
        ms_deform_attn(**broken)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({"queries": 0}, (2, 0, 12)),
        ({"batch": 0}, (0, 5, 12)),
        ({"points": 0}, (2, 5, 12)),
        ({"shapes": ((4, 6), (0, 3))}, (2, 5, 12)),
        ({"shapes": ((0, 6), (2, 0))}, (2, 5, 12)),
        ({"shapes": ()}, (2, 5, 12)),
        ({"channels": 0}, (2, 5, 0)),
    ],
)
def test_what_is_empty_gives_a_correct_empty_result(sizes, shape):
    given = arguments(**sizes)
    floating = [one.requires_grad_() for one in given.values() if one.is_floating_point()]
    output = ms_deform_attn(**given)
    assert output.shape == shape
    assert (sizes.get("shapes") == ((4, 6), (0, 3))) == bool(output.any())
    gradients = torch.autograd.grad(output.sum(), floating)
    for gradient, one in zip(gradients, floating, strict=True):
        assert gradient.shape == one.shape
        assert gradient.isfinite().all()


def test_integers_of_32_bits_serve_as_tables():
    given = arguments()
    expected = ms_deform_attn(**given)
    for name in ("spatial_shapes", "level_start_index"):
        given[name] = given[name].int()
    assert torch.equal(ms_deform_attn(**given), expected)


def test_tables_on_an_accelerator_are_read_once_until_they_change(monkeypatch):
    read = []

    class Table(torch.Tensor):
        device = property(lambda self: SimpleNamespace(type="cuda"))

        def tolist(self):
            read.append(1)
            return super().tolist()

    table = torch.tensor(SHAPES).as_subclass(Table)
    assert dispatch._numbers(table) == dispatch._numbers(table) == [list(shape) for shape in SHAPES]
    assert len(read) == 1
    table.add_(1)
    assert dispatch._numbers(table) == [[5, 7], [3, 4]]
    assert len(read) == 2


# the choice of a path


@pytest.fixture
def triton(monkeypatch):
    """Say whether Triton's kernels could run."""
    import mmrepro.ops.ms_deform_attn_triton as kernels

    state = SimpleNamespace(obstacle=None)
    monkeypatch.setattr(kernels, "why_not", lambda device_type: state.obstacle)
    monkeypatch.delenv("MMREPRO_MSDA", raising=False)
    dispatch._warn_once.cache_clear()
    return state


def test_the_cpu_takes_the_pure_path(triton):
    assert dispatch.choose("cpu")[0] == "torch"


def test_cuda_takes_triton(triton):
    assert dispatch.choose("cuda") == ("triton", "the path for CUDA")


def test_cuda_takes_the_pure_path_when_results_must_be_deterministic(triton):
    path, reason = dispatch.choose("cuda", deterministic=True)
    assert path == "torch"
    assert "deterministic" in reason


def test_cuda_without_triton_takes_the_pure_path_with_one_warning(triton):
    triton.obstacle = "no C compiler was found"
    with pytest.warns(UserWarning, match="no C compiler was found.*mmrepro doctor"):
        assert dispatch.choose("cuda") == ("torch", "the Triton kernels cannot run: no C compiler was found")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatch.choose("cuda")[0] == "torch"


def test_a_path_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setenv("MMREPRO_MSDA", "cuda")
    with pytest.raises(ValueError, match="MMREPRO_MSDA=cuda: there is no such path; there are torch, triton, mmcv"):
        ms_deform_attn(**arguments())


@pytest.mark.parametrize("path", ["triton", "mmcv"])
def test_a_forced_path_that_cannot_run_says_why(path, monkeypatch):
    monkeypatch.setenv("MMREPRO_MSDA", path)
    with pytest.raises(RuntimeError, match=f"MMREPRO_MSDA={path}, but .*; unset MMREPRO_MSDA"):
        ms_deform_attn(**arguments())


def test_a_forced_path_wins_over_determinism(triton, monkeypatch):
    monkeypatch.setenv("MMREPRO_MSDA", "triton")
    assert dispatch.choose("cuda", deterministic=True) == ("triton", "forced by MMREPRO_MSDA")


@pytest.fixture
def compiled(monkeypatch):
    """A compiled mmcv whose function records what it gets and answers by our pure path."""
    from mmrepro.ops.ms_deform_attn_torch import attend

    calls = []

    class Compiled:
        @staticmethod
        def apply(*given):
            calls.append(given)
            return attend(*given[:5])

    parts = {name: ModuleType(name) for name in ("mmcv", "mmcv._ext", "mmcv.ops", "mmcv.ops.multi_scale_deform_attn")}
    parts["mmcv._ext"].__spec__ = SimpleNamespace(loader=None)
    parts["mmcv"].__spec__ = SimpleNamespace(loader=None)
    parts["mmcv.ops.multi_scale_deform_attn"].MultiScaleDeformableAttnFunction = Compiled
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    dispatch._without_compiled_mmcv.cache_clear()
    monkeypatch.setattr(dispatch, "choose", lambda device_type, deterministic: ("mmcv", ""))
    yield calls
    dispatch._without_compiled_mmcv.cache_clear()


@pytest.mark.parametrize("dtype", dispatch.FLOATING)
def test_the_compiled_operator_computes_in_single_precision_at_least(compiled, dtype):
    given = arguments(dtype=dtype)
    output = ms_deform_attn(**given)
    assert output.dtype == dtype
    assert compiled[0][0].dtype == compiled[0][3].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert compiled[0][5] == 2  # the whole batch in one step: any batch size is served
    assert dispatch._without_compiled_mmcv() is None


def test_the_compiled_operator_is_not_called_for_nothing(compiled):
    assert ms_deform_attn(**arguments(queries=0)).shape == (2, 0, 12)
    assert not compiled


def test_served_operators_are_no_compiled_ones(compiled, monkeypatch):
    served = ModuleType(finder.EXTENSION)
    served.__spec__ = finder.MmcvExtensionFinder().find_spec(finder.EXTENSION)
    monkeypatch.setitem(sys.modules, finder.EXTENSION, served)
    assert dispatch._without_compiled_mmcv() == "mmcv was installed without its compiled operators"


def test_it_compiles_into_one_graph():
    given = arguments()
    floating = [one.requires_grad_() for one in given.values() if one.is_floating_point()]
    expected = ms_deform_attn(**given)
    compiled = torch.compile(lambda **given: ms_deform_attn(**given), backend="aot_eager", fullgraph=True)
    actual = compiled(**given)
    torch.testing.assert_close(actual, expected)
    for ours, theirs in zip(
        torch.autograd.grad(actual.square().sum(), floating),
        torch.autograd.grad(expected.square().sum(), floating),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_importing_it_does_not_import_triton():
    code = "import sys; from mmrepro.ops import ms_deform_attn; print('triton' in sys.modules, 'mmcv' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False False"


def test_the_operators_of_mmcv_are_this_function():
    given = arguments()
    expected = ms_deform_attn(**given)
    forward, backward = ext.operator("ms_deform_attn_forward"), ext.operator("ms_deform_attn_backward")
    assert torch.equal(forward(*given.values(), im2col_step=64), expected)
    floating = [one for one in given.values() if one.is_floating_point()]
    buffers = [torch.full_like(one, 7.0) for one in floating]
    cotangent = torch.randn_like(expected)
    with torch.no_grad():  # as in an autograd function
        backward(*given.values(), cotangent, *buffers, im2col_step=64)
    leaves = {name: one.clone().requires_grad_(one.is_floating_point()) for name, one in given.items()}
    wanted = torch.autograd.grad(
        ms_deform_attn(**leaves), [one for one in leaves.values() if one.requires_grad], cotangent
    )
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(buffers, wanted, strict=True))


def test_meta_tensors_give_the_shape():
    given = {name: one.to("meta") for name, one in arguments().items()}
    output = ms_deform_attn(**given)
    assert (output.device.type, output.shape) == ("meta", (2, 5, 12))


def test_the_package_offers_the_function_and_nothing_unknown():
    import mmrepro.ops

    assert mmrepro.ops.ms_deform_attn is dispatch.ms_deform_attn
    with pytest.raises(AttributeError, match="no attribute 'deformable'"):
        _ = mmrepro.ops.deformable
