from __future__ import annotations

import json
import sys

import pytest

from mmrepro.testing import bench

MORE = """
import json, sys
from mmrepro.testing.bench import Program

def steps():
    return {"a step": {"reference": lambda: lambda: b"1" * (64 * 2**20), "ours": lambda: lambda: None}}

def command(folder):
    yield [sys.executable, "-c", f"open({str(folder / 'made')!r}, 'w').write('1'); print('training')"]
    assert (folder / "made").exists()
    yield [sys.executable, "-c", "print('tested')"]

def metrics(folder, printed):
    return {"epochs": len((folder / "made").read_text()), "lines": len(printed.splitlines())}

def programs():
    return {"the row": {"reference": Program(command, metrics), "ours": Program(command, metrics)}}
"""
CASES = """
calls = []
def cases():
    return {"attention": (lambda: calls.append("ours"), lambda: calls.append("reference"))}
"""


def test_pairs_are_called_in_turn():
    calls = []
    measured = bench.measure(lambda: calls.append("ours"), lambda: calls.append("reference"), repeats=5)
    assert calls == ["ours", "reference"] * (bench.WARM_UP + 5)
    assert set(measured) == {"ours_ms", "reference_ms", "speed_up"}


def test_the_medians_and_their_ratio_are_kept(monkeypatch):
    times = iter([1.0, 4.0, 100.0, 6.0, 3.0, 5.0])
    monkeypatch.setattr(bench, "_milliseconds", lambda function: next(times))
    measured = bench.measure(int, int, repeats=3)
    assert measured == {"ours_ms": 3.0, "reference_ms": 5.0, "speed_up": pytest.approx(5 / 3)}


def test_a_papers_cases_are_written_with_their_circumstances(fake_paper):
    fake_paper.write("tests/bench.py", CASES)
    bench.run("fake", repeats=2)
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())
    assert set(written["results"]) == {"attention"}
    assert written["versions"]["mmrepro-fake"] == "0.1.0"
    assert {"hardware", "threads", "commit", "clean", "date", "repeats"} <= set(written)


def test_steps_and_programs_run_in_processes_of_their_own(fake_paper):
    fake_paper.write("tests/bench.py", MORE)
    shown = []
    bench.run("fake", show=shown.append)
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())
    assert written["results"] == {}
    steps, programs = written["steps"]["a step"], written["programs"]["the row"]
    assert list(steps) == list(programs) == ["reference", "ours"]
    assert steps["reference"]["peak_mib"] > 60 > steps["ours"]["peak_mib"]
    assert programs["ours"]["metrics"] == {"epochs": 1, "lines": 2}
    assert all(one[key] > 0 for one in programs.values() for key in ("cpu_s", "wall_s"))
    assert [line.partition(":")[0] for line in shown] == [
        "a step, reference",
        "a step, ours",
        "the row, reference",
        "the row, ours",
    ]


def test_a_program_that_fails_says_what_it_printed():
    command = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    with pytest.raises(bench.ProgramError, match="ended with 1:\nout of luck"):
        bench.measure_program(bench.Program(lambda folder: [command], lambda folder, printed: {}))


def test_without_cases_it_says_so(fake_paper):
    with pytest.raises(FileNotFoundError, match=r"no tests/bench\.py"):
        bench.run("fake")
