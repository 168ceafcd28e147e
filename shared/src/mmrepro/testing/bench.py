"""Benchmarks: our code against a plain transcription of the official one, side by side in one run.

``tests/bench.py`` of a package, or of the core, has one or more of these functions:

- ``cases() -> {name: (ours, reference)}``: two functions without arguments that do the same work. Both are called in
  turn, so that what else the machine does hits both alike; the medians are kept.
- ``steps() -> {name: {label: make}}``: ``make()`` returns a function without arguments. Each label runs in a process of
  its own, which reports the CPU time of a call and the most memory held meanwhile. One label is ``reference``.
- ``programs() -> {name: {label: Program}}``: whole programs, run once each, in child processes whose CPU time is taken.
  The labels are ``ours`` and ``reference``.
- ``groups() -> {group: {what: {direction: {label: make}}}}``: two labels, ours first. Both are built in one process and
  called in turn for their times, and each alone in a process of its own for its memory. A group keeps hardware and date
  of its own, so that groups may be measured on different machines.
- ``tables() -> {title: measure}``: ``measure()`` returns a :class:`Table` of what is neither time nor memory, such as
  what a setting changes in a result. A table keeps hardware and date of its own, as a group does.
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
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from types import ModuleType

from mmrepro import papers
from mmrepro.reproduction import environment
from mmrepro.reproduction.tables import BENCHMARKS, OPERATORS, benchmarks_root

WARM_UP = 3
CALLS = 3  # of a step, after one to warm up; fewer, but one at least, where they would take longer than SECONDS
SECONDS = 20.0  # that the pairs of calls of one line of a group may take, beyond FEWEST
FEWEST = 5


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


@dataclass(frozen=True)
class Table:
    """What a ``measure()`` of ``tables()`` found, as text.

    Args:
        columns: the head of each column.
        rows: the cells, as many in each row as there are columns.
        note: what was measured, on what, and how to read it; it stands below the table.

    Raises:
        ValueError: a row is longer or shorter than the head.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"the row {list(row)} does not have the {len(self.columns)} columns of the table")


class ProgramError(RuntimeError):
    """A child process failed; the message holds the end of what it printed."""


def run(
    paper: str, *, repeats: int = 30, only: str | None = None, show: Callable[[str], object] = lambda line: None
) -> dict:
    """Measure all that ``tests/bench.py`` names and write ``benchmarks.json``.

    Groups that this machine cannot measure stay as they were measured elsewhere.

    Args:
        paper: the paper's name, or ``ops`` for the core's operators.
        repeats: pairs of calls per case.
        only: measure only the groups and tables with this in their name; all else stays as it was measured.
        show: gets a line for each result as soon as it is there.

    Returns:
        What was written: ``results`` of the cases by name (``ours_ms``, ``reference_ms``, ``speed_up``), ``steps`` and
        ``programs`` by name and label (see :func:`measure_step` and :func:`measure_program`), versions, hardware,
        commit; ``groups`` by name, each with its lines (see :func:`measure_sides`) and circumstances; and ``tables`` by
        title, each with ``columns``, ``rows``, ``note`` and circumstances.

    Raises:
        FileNotFoundError: the paper is not installed from a checkout, or has no ``tests/bench.py``.
        ValueError: no group and no table has ``only`` in its name.
        ProgramError: a child process failed.
    """
    root = benchmarks_root(paper)
    if root is None or not (root / "tests" / "bench.py").is_file():
        raise FileNotFoundError(f"{paper} has no tests/bench.py here: benchmarks run from a checkout")
    bench = _module(root)
    measured = _written(root)
    if only is None:
        measured |= _measure_all(bench, root, repeats, show) | {"repeats": repeats} | _circumstances(root, paper)
    groups, tables = (_chosen(bench, what, only) for what in ("groups", "tables"))
    if only is not None and not groups | tables:
        raise ValueError(f"no group or table of {root / 'tests' / 'bench.py'} has {only!r} in its name")
    for name, group in groups.items():
        lines = _measure_group(root, name, group, repeats, show)
        measured["groups"] = measured.get("groups", {}) | {name: {"lines": lines, **_circumstances(root, paper)}}
        _write(root, measured)  # what comes later may fail
    for title, make in tables.items():
        table = asdict(make()) | _circumstances(root, paper)
        measured["tables"] = measured.get("tables", {}) | {title: table}
        _write(root, measured)
        show(f"{title}: {len(table['rows'])} rows")
    _write(root, measured)
    return measured


def _chosen(bench: ModuleType, what: str, only: str | None) -> dict:
    """Return the groups or tables with ``only`` in their name."""
    return {name: one for name, one in _declared(bench, what).items() if only is None or only in name}


def _write(root: Path, measured: dict) -> None:
    file = root / BENCHMARKS
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def _measure_all(bench: ModuleType, root: Path, repeats: int, show: Callable[[str], object]) -> dict:
    """Measure cases, steps and programs."""
    results, steps, programs = {}, {}, {}
    for name, pair in _declared(bench, "cases").items():
        results[name] = one = measure(*pair, repeats=repeats)
        show(f"{name}: {one['ours_ms']:.3g} ms, reference {one['reference_ms']:.3g} ms, {one['speed_up']:.2f} ×")
    for name, makes in _declared(bench, "steps").items():
        steps[name] = {}
        for label in makes:
            steps[name][label] = one = _in_a_child(root, "steps", name, label)
            show(f"{name}, {label}: {one['cpu_ms']:.0f} ms CPU, {one['peak_mib']:.0f} MiB")
    for name, sides in _declared(bench, "programs").items():
        programs[name] = {}
        for label, program in sides.items():
            programs[name][label] = one = measure_program(program)
            found = ", ".join(f"{key} {value:.4g}" for key, value in one["metrics"].items())
            show(f"{name}, {label}: {one['cpu_s']:.1f} s CPU, {one['wall_s']:.1f} s, {found}")
    return {"results": results, "steps": steps, "programs": programs}


def _measure_group(root: Path, group: str, whats: dict, repeats: int, show: Callable[[str], object]) -> dict:
    """Measure the lines of a group, each side's memory in a process of its own."""
    lines: dict[str, dict] = {}
    for what, directions in whats.items():
        for direction, sides in directions.items():
            one = measure_sides(sides, repeats=repeats)
            for label, side in one.items():
                side["peak_mib"] = _in_a_child(root, "groups", group, what, direction, label)["peak_mib"]
            lines.setdefault(what, {})[direction] = one
            found = ", ".join(f"{label} {side['ms']:.3g} ms {side['peak_mib']:.0f} MiB" for label, side in one.items())
            show(f"{group}, {what}, {direction}: {found}")
    return lines


def _circumstances(root: Path, paper: str) -> dict:
    commit, clean = environment.commit(root)
    return {
        "commit": commit,
        "clean": clean,
        "versions": environment.versions(paper if paper == OPERATORS else papers.canonical(paper)),
        "hardware": environment.hardware(),
        "threads": environment.threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _written(root: Path) -> dict:
    """Return what was measured before, which a partial run keeps."""
    file = root / BENCHMARKS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def measure(ours: Callable[[], object], reference: Callable[[], object], *, repeats: int = 30) -> dict[str, float]:
    """Call two functions in turn and return their median times in milliseconds and the speed-up."""
    for _ in range(WARM_UP):
        ours()
        reference()
    pairs = [(_milliseconds(ours), _milliseconds(reference)) for _ in range(repeats)]
    mine, theirs = (median(times) for times in zip(*pairs, strict=True))
    return {"ours_ms": mine, "reference_ms": theirs, "speed_up": theirs / mine}


def measure_sides(sides: dict[str, Callable[[], Callable[[], object]]], *, repeats: int = 30) -> dict[str, dict]:
    """Build two sides, call them in turn and return each one's median time, ``{label: {"ms": ...}}``.

    There are as many pairs of calls as fit into ``SECONDS``, not more than ``repeats`` and not fewer than ``FEWEST``.
    """
    functions = [make() for make in sides.values()]
    for function in functions:
        function()
    seconds = sum(map(_milliseconds, functions)) / 1e3
    pairs = min(repeats, max(FEWEST, int(SECONDS / seconds)))
    times = zip(*([_milliseconds(function) for function in functions] for _ in range(pairs)), strict=True)
    return {label: {"ms": median(taken)} for label, taken in zip(sides, times, strict=True)}


def measure_step(make: Callable[[], Callable[[], object]]) -> dict[str, float]:
    """Build a step in this process and return its median CPU time (``cpu_ms``) and memory (``peak_mib``).

    The memory is the most that the process holds during the calls beyond what it held before: imports, and what
    ``make`` built. Where ``make`` uses a CUDA device, it is that device's memory. Runs on Linux only.
    """
    step = make()
    if _on_cuda():
        return _measure_cuda_step(step)
    before = _resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    times = _step_times(step)
    return {"cpu_ms": median(times), "peak_mib": _resident_mib("VmHWM") - before}


def _on_cuda() -> bool:
    """Whether something of this process lives on a CUDA device; torch is not imported for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized() and torch.cuda.memory_allocated() > 0


def _measure_cuda_step(step: Callable[[], object]) -> dict[str, float]:
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = _step_times(step)
    return {"cpu_ms": median(times), "peak_mib": (torch.cuda.max_memory_allocated() - before) / 2**20}


def _step_times(step: Callable[[], object]) -> list[float]:
    """Return the CPU time of some calls in milliseconds, after one to warm up."""
    seconds = _milliseconds(step) / 1e3
    return [_cpu_milliseconds(step) for _ in range(min(CALLS, max(1, int(SECONDS / seconds))))]


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


def _in_a_child(root: Path, *keys: str) -> dict[str, float]:
    """Measure a step in a process of its own; the keys lead to what makes it in ``tests/bench.py``."""
    _, text = _run([sys.executable, "-m", "mmrepro.testing.bench", str(root), *keys])
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
    folder, what, *keys = sys.argv[1:]
    found = _declared(_module(Path(folder)), what)
    for key in keys:
        found = found[key]
    sys.stdout.write(json.dumps(measure_step(found)) + "\n")
