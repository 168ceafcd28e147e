"""Benchmarks: our code against a plain transcription of the official one, side by side in one run.

A package's ``tests/bench.py`` has one or more of these functions:

- ``cases() -> {name: (ours, reference)}``: two functions without arguments that do the same work. Both are called in
  turn, so that what else the machine does hits both alike; the medians are kept.
- ``steps() -> {name: {label: make}}``: ``make()`` returns a function without arguments. Each label runs in a process of
  its own, which reports the CPU time of a call and the most memory held meanwhile. One label is ``reference``.
- ``programs() -> {name: {label: Program}}``: whole programs, run once each, in child processes whose CPU time is taken.
  The labels are ``ours`` and ``reference``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from types import ModuleType

from mmrepro import papers
from mmrepro.reproduction import environment
from mmrepro.reproduction.tables import BENCHMARKS

WARM_UP = 3
CALLS = 3  # of a step, after one to warm up


@dataclass(frozen=True)
class Program:
    """A whole program.

    Args:
        commands: given an empty folder for its files, what to run; each command is asked for when the one before it has
            ended.
        metrics: given the folder and all that was printed, what came out; ``epochs``, where it has them, divides the
            CPU time, since two programs that stop early need not do so after the same epoch.
    """

    commands: Callable[[Path], Iterable[Sequence[str]]]
    metrics: Callable[[Path, str], dict[str, float]]


class ProgramError(RuntimeError):
    """A child process failed; the message holds the end of what it printed."""


def run(paper: str, *, repeats: int = 30, show: Callable[[str], object] = lambda line: None) -> dict:
    """Measure all that a paper's ``tests/bench.py`` names and write the package's ``benchmarks.json``.

    Args:
        paper: the paper's name.
        repeats: pairs of calls per case.
        show: gets a line for each result as soon as it is there.

    Returns:
        What was written: ``results`` of the cases by name (``ours_ms``, ``reference_ms``, ``speed_up``), ``steps`` and
        ``programs`` by name and label (see :func:`measure_step` and :func:`measure_program`), versions, hardware,
        commit.

    Raises:
        FileNotFoundError: the paper is not installed from a checkout, or has no ``tests/bench.py``.
        ProgramError: a child process failed.
    """
    root = papers.checkout(paper)
    if root is None or not (root / "tests" / "bench.py").is_file():
        raise FileNotFoundError(f"{paper} has no tests/bench.py here: benchmarks run from a checkout")
    bench = _module(root)
    results, steps, programs = {}, {}, {}
    for name, pair in _declared(bench, "cases").items():
        results[name] = one = measure(*pair, repeats=repeats)
        show(f"{name}: {one['ours_ms']:.3g} ms, reference {one['reference_ms']:.3g} ms, {one['speed_up']:.2f} ×")
    for name, makes in _declared(bench, "steps").items():
        steps[name] = {}
        for label in makes:
            steps[name][label] = one = _in_a_child(root, name, label)
            show(f"{name}, {label}: {one['cpu_ms']:.0f} ms CPU, {one['peak_mib']:.0f} MiB")
    for name, sides in _declared(bench, "programs").items():
        programs[name] = {}
        for label, program in sides.items():
            programs[name][label] = one = measure_program(program)
            found = ", ".join(f"{key} {value:.4g}" for key, value in one["metrics"].items())
            show(f"{name}, {label}: {one['cpu_s']:.1f} s CPU, {one['wall_s']:.1f} s, {found}")
    commit, clean = environment.commit(root)
    measured = {
        "results": results,
        "steps": steps,
        "programs": programs,
        "repeats": repeats,
        "commit": commit,
        "clean": clean,
        "versions": environment.versions(papers.canonical(paper)),
        "hardware": environment.hardware(),
        "threads": environment.threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    file = root / BENCHMARKS
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, file)
    return measured


def measure(ours: Callable[[], object], reference: Callable[[], object], *, repeats: int = 30) -> dict[str, float]:
    """Call two functions in turn and return their median times in milliseconds and the speed-up."""
    for _ in range(WARM_UP):
        ours()
        reference()
    pairs = [(_milliseconds(ours), _milliseconds(reference)) for _ in range(repeats)]
    mine, theirs = (median(times) for times in zip(*pairs, strict=True))
    return {"ours_ms": mine, "reference_ms": theirs, "speed_up": theirs / mine}


def measure_step(make: Callable[[], Callable[[], object]]) -> dict[str, float]:
    """Build a step in this process and return its median CPU time (``cpu_ms``) and memory (``peak_mib``).

    The memory is the most that the process holds during the calls beyond what it held before: imports, and what
    ``make`` built. Runs on Linux only.
    """
    step = make()
    before = _resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    step()
    times = [_cpu_milliseconds(step) for _ in range(CALLS)]
    return {"cpu_ms": median(times), "peak_mib": _resident_mib("VmHWM") - before}


def measure_program(program: Program) -> dict:
    """Run a program once and return its CPU time, user and system (``cpu_s``), ``wall_s`` and ``metrics``.

    Raises:
        ProgramError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="mmrepro-bench-") as folder:
        start, cpu, printed = time.perf_counter(), 0.0, ""
        for command in program.commands(Path(folder)):
            seconds, text = _run(command)
            cpu += seconds
            printed += text
        wall = time.perf_counter() - start
        return {"cpu_s": cpu, "wall_s": wall, "metrics": program.metrics(Path(folder), printed)}


def _run(command: Sequence[str]) -> tuple[float, str]:
    """Run a command and return its CPU seconds, those of its own children included, and what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise ProgramError(f"{' '.join(command)} ended with {child.returncode}:\n{text[-3000:]}")
    return usage.ru_utime + usage.ru_stime, text


def _in_a_child(root: Path, name: str, label: str) -> dict[str, float]:
    """Measure a step in a process of its own."""
    _, text = _run([sys.executable, "-m", "mmrepro.testing.bench", str(root), name, label])
    return json.loads(text.splitlines()[-1])


def _milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def _cpu_milliseconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def _resident_mib(which: str) -> float:
    """Return this process's resident memory now (``VmRSS``) or at its peak (``VmHWM``); Linux says so.

    ``getrusage`` would not do: a child starts with its parent's peak.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) / 2**10


def _declared(bench: ModuleType, what: str) -> dict:
    return getattr(bench, what)() if hasattr(bench, what) else {}


def _module(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mmrepro_bench_{root.name}", root / "tests" / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    folder, name, label = sys.argv[1:]
    sys.stdout.write(json.dumps(measure_step(_module(Path(folder)).steps()[name][label])) + "\n")
