"""Benchmarks: our code against a plain transcription of the official one, in pairs, side by side in one run.

A package's ``tests/bench.py`` has ``cases() -> {name: (ours, reference)}``, two functions without arguments that do
the same work. Both are called in turn, so that what else the machine does hits both alike; the medians are kept.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from mmrepro import papers
from mmrepro.reproduction import environment
from mmrepro.reproduction.tables import BENCHMARKS

WARM_UP = 3


def run(paper: str, *, repeats: int = 30) -> dict:
    """Measure every case of a paper and write the package's ``benchmarks.json``.

    Returns:
        What was written: ``results`` by case (``ours_ms``, ``reference_ms``, ``speed_up``), versions, hardware, commit.

    Raises:
        FileNotFoundError: the paper is not installed from a checkout, or has no ``tests/bench.py``.
    """
    root = papers.checkout(paper)
    if root is None or not (root / "tests" / "bench.py").is_file():
        raise FileNotFoundError(f"{paper} has no tests/bench.py here: benchmarks run from a checkout")
    results = {name: measure(*pair, repeats=repeats) for name, pair in _cases(root).items()}
    commit, clean = environment.commit(root)
    measured = {
        "results": results,
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


def _milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def _cases(root: Path) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    spec = importlib.util.spec_from_file_location(f"mmrepro_bench_{root.name}", root / "tests" / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cases()
