"""The Triton path without a GPU: kernels interpreted, kernels compiled for GPUs, and what keeps the path from running.

`test_ms_deform_attn_cuda.py` runs it on a GPU.
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
import torch

from mmrepro.ops import ms_deform_attn_triton as path

HERE = Path(__file__).parent


def _imports_triton() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:  # no wheel for this platform, or an old one without setuptools
        return False
    return True


needs_triton = pytest.mark.skipif(not _imports_triton(), reason="Triton cannot be imported here")
needs_compiler = pytest.mark.skipif(
    os.name == "nt" or path.interpreted() or not (shutil.which("gcc") or shutil.which("clang")),
    reason="needs a C compiler that Triton finds, and kernels that are not interpreted",
)


@pytest.fixture
def fresh_answer():
    path.why_not.cache_clear()
    yield
    path.why_not.cache_clear()


def child(arguments: list[str], **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


@needs_triton
def test_the_interpreted_kernels_compute_what_the_definition_says():
    tests = str(HERE / "interpreted_ms_deform_attn.py")
    run = child(["-m", "pytest", "-q", "-p", "no:cacheprovider", tests], TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


# The type of the value, and of the locations and weights
TYPES = [("fp32", "fp32"), ("bf16", "bf16"), ("fp16", "fp32"), ("fp16", "fp16"), ("fp64", "fp64")]
AMPERE, HOPPER = ("cuda", 80, 32), ("cuda", 90, 32)
OTHERS = [("cuda", 75, 32), ("cuda", 100, 32), ("hip", "gfx942", 64)]
COMPILED = [(target, *types) for target in (AMPERE, HOPPER) for types in TYPES]
COMPILED += [(target, *types) for target in OTHERS for types in TYPES[:3]]
POINTERS = {
    "spatial_shapes": "i64",
    "level_start_index": "i64",
    "value": "value",
    "output": "value",
    "grad_output": "value",
    "grad_value": "sum",
    "locations": "taps",
    "weights": "taps",
    "grad_locations": "taps",
    "grad_weights": "taps",
}


def is_new() -> bool:
    """Triton 3.3 and newer: sm_100, bfloat16 before sm_80, AMD's linker in the wheel, sources that take alignments."""
    from triton.compiler import ASTSource

    return "constexprs" in inspect.signature(ASTSource).parameters


def compile_kernel(name: str, target: tuple, value: str, taps: str, width: int = 32, **flags: bool):
    """Compile a kernel to a GPU's machine code as a launch would, without a GPU."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    new = is_new()
    if not new and target in OTHERS:
        pytest.skip("this version of Triton compiles for the target only in part, or on the machine only")
    kernel = getattr(path._kernels(), name)
    launch = path.FORWARD if name == "weigh" else path.BACKWARD
    block_width = triton.next_power_of_2(width)
    total = "fp64" if value == "fp64" else "fp32"
    constants = dict(
        HEADS=8,
        WIDTH=width,
        LEVELS=4,
        POINTS=4,
        SUM=tl.float64 if value == "fp64" else tl.float32,
        BLOCK_ROWS=max(1, launch["tile"] // block_width),
        BLOCK_WIDTH=block_width,
        **flags,
    )
    types = {"value": value, "taps": taps, "sum": total, "i64": "i64"}
    signature = {
        parameter: "*" + types[POINTERS[parameter]] if parameter in POINTERS else "i32"
        for parameter in kernel.arg_names
        if parameter not in constants
    }
    if new:
        aligned = {
            (index,): [["tt.divisibility", 16]]
            for index, parameter in enumerate(kernel.arg_names)
            if parameter in POINTERS
        }
        signature |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=aligned)
    else:
        source = ASTSource(kernel, signature=signature, constants=constants)
    options = dict(num_warps=launch["num_warps"], enable_fp_fusion=True)
    return triton.compile(source, target=GPUTarget(*target), options=options)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@needs_triton
@pytest.mark.skipif(path.interpreted(), reason="interpreted kernels are not compiled")
@pytest.mark.usefixtures("own_cache")
class TestCompiled:
    """The interpreter knows no type errors and no limits of a target; the compiler does."""

    @pytest.mark.parametrize(("target", "value", "taps"), COMPILED, ids=str)
    def test_the_types_compile_for_the_targets(self, target, value, taps):
        machine = "hsaco" if target[0] == "hip" else "cubin"
        assert compile_kernel("weigh", target, value, taps).asm[machine]
        assert compile_kernel("weigh_backward", target, value, taps, FOR_VALUE=True, FOR_TAPS=True).asm[machine]

    @pytest.mark.parametrize("width", [1, 5, 48, 256])
    def test_every_head_width_compiles(self, width):
        for_all = dict(FOR_VALUE=True, FOR_TAPS=True)
        assert compile_kernel("weigh", AMPERE, "fp16", "fp32", width).asm["cubin"]
        assert compile_kernel("weigh_backward", AMPERE, "fp16", "fp32", width, **for_all).asm["cubin"]

    def test_gradients_that_nobody_asks_for_are_not_computed(self):
        of_value = compile_kernel("weigh_backward", AMPERE, "fp32", "fp32", FOR_VALUE=True, FOR_TAPS=False)
        of_taps = compile_kernel("weigh_backward", AMPERE, "fp32", "fp32", FOR_VALUE=False, FOR_TAPS=True)
        assert "add.f32" in of_value.asm["ptx"]
        assert "st.global" not in of_value.asm["ptx"]
        assert "red.global" not in of_taps.asm["ptx"]
        assert "atom.global" not in of_taps.asm["ptx"]

    def test_channels_are_read_sixteen_bytes_at_a_time(self):
        if not is_new():
            pytest.skip("the test can tell this version of Triton no alignments")
        ptx = compile_kernel("weigh", AMPERE, "fp32", "fp32").asm["ptx"]
        assert ptx.count("ld.global.v4.b32") == 4  # one per neighbour


def test_the_cpu_is_not_served(fresh_answer, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "'cpu'" in path.why_not("cpu")
    assert "'mps'" in path.why_not("mps")


def test_without_triton(fresh_answer, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert path.why_not("cuda") == "Triton is not installed (`pip install triton`)"


@needs_triton
def test_without_a_device(fresh_answer, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert path.why_not("cuda") == "PyTorch finds no CUDA device"


def test_triton_is_imported_at_the_first_call_only():
    run = child(
        [
            "-c",
            textwrap.dedent(
                """
                import sys
                import torch
                sys.modules["triton"] = None  # as if it were not installed
                from mmrepro.ops import ms_deform_attn_triton as path
                assert "not installed" in path.why_not("cuda")
                value, table = torch.ones(1, 1, 1, 1), torch.ones(1, 2, dtype=torch.int64)
                try:
                    path.attend(value, table, table[0, :1], torch.ones(1, 1, 1, 1, 1, 2), torch.ones(1, 1, 1, 1, 1))
                except ImportError as error:
                    print(error)
                """
            ),
        ]
    )
    assert run.returncode == 0, run.stdout
    assert "triton" in run.stdout


@pytest.fixture
def rehearse_the_launcher(fresh_answer, monkeypatch, tmp_path):
    """A device that seems to be there; the rehearsal lets Triton build C code, as it does for its launcher."""
    from triton.runtime import build

    def rehearse(device):
        source = tmp_path / "launcher.c"
        source.write_text("#include <Python.h>\nint launch(void) { return 0; }\n", encoding="utf-8")
        flags = [[]] if "ccflags" in inspect.signature(build._build).parameters else []
        build._build("launcher", str(source), str(tmp_path), [], [], [], *flags)

    def forget():  # newer versions look for the compiler once per process
        if hasattr(build, "_find_compiler"):
            build._find_compiler.cache_clear()

    monkeypatch.setattr(path, "_rehearse", rehearse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.delenv("CC", raising=False)
    forget()
    yield
    forget()


@needs_triton
@needs_compiler
@pytest.mark.usefixtures("rehearse_the_launcher")
class TestLauncher:
    """What Triton says where its C code cannot be built becomes one clear sentence."""

    def test_with_a_compiler_nothing_is_in_the_way(self):
        assert path.why_not("cuda") is None

    def test_with_an_empty_path(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert path.why_not("cuda").startswith("Triton finds no C compiler to build")

    def test_with_a_compiler_that_the_environment_names(self, monkeypatch):
        monkeypatch.setenv("CC", shutil.which("gcc") or shutil.which("clang"))
        monkeypatch.setenv("PATH", os.path.dirname(shutil.which("ld")))
        assert path.why_not("cuda") is None

    @pytest.mark.parametrize("name", ["/nowhere/gcc", ""])
    def test_with_a_name_that_is_no_compiler(self, monkeypatch, name):
        monkeypatch.setenv("CC", name)
        assert f"CC={name!r} is none" in path.why_not("cuda")

    def test_with_a_compiler_that_fails(self, monkeypatch):
        monkeypatch.setenv("CC", shutil.which("false"))
        assert "the C compiler fails to build" in path.why_not("cuda")
        assert "(status 1)" in path.why_not("cuda")

    def test_without_python_s_headers(self, monkeypatch, tmp_path):
        original = sysconfig.get_paths
        monkeypatch.setattr(sysconfig, "get_path", lambda *names: str(tmp_path))
        monkeypatch.setattr(sysconfig, "get_paths", lambda **names: {**original(**names), "include": str(tmp_path)})
        answer = path.why_not("cuda")
        assert str(tmp_path / "Python.h") in answer
        assert "python3-dev" in answer


@pytest.mark.parametrize("error", [ValueError("first line\nsecond line"), RuntimeError("0 active drivers ([])")])
def test_any_other_failure_is_named(fresh_answer, monkeypatch, error):
    def rehearse(device):
        raise error

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(path, "find_spec", lambda name: name)
    monkeypatch.setattr(path, "_rehearse", rehearse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    answer = path.why_not("cuda")
    assert answer == f"Triton fails to run a kernel: {type(error).__name__}: {' '.join(str(error).split())}"


def test_the_rehearsal_is_told_once_and_runs_apart_from_the_caller_s_modes(fresh_answer, monkeypatch):
    seen = []
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(path, "find_spec", lambda name: name)
    monkeypatch.setattr(path, "_rehearse", lambda device: seen.append((device, torch.is_inference_mode_enabled())))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with torch.inference_mode():
        assert path.why_not("cuda") is None
        assert path.why_not("cuda") is None
    assert seen == [(torch.device("cuda", 0), False)]
