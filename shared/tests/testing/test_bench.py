from __future__ import annotations

import json
import sys

import pytest

from mmrepro.reproduction import tables
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
GROUPS = """
def make(size):
    return lambda: lambda: b"1" * size

def groups():
    sides = {"ours": make(2**20), "theirs": make(64 * 2**20)}
    one = {"shape": {"forward": sides, "backward": sides}}
    return {"CPU": one, "GPU": {"shape": {"forward": sides}}}
"""
TABLES = """
from mmrepro.testing.bench import Table

def tables():
    return {
        "tiles": lambda: Table(("tile", "change (dB)"), [("32", "-0.01"), ("64", "0.00")], "On one picture."),
        "what else changes": lambda: Table(("what",), [("all",)], "On all."),
    }
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


def test_groups_have_times_side_by_side_and_memory_of_each_side_alone(fake_paper):
    fake_paper.write("tests/bench.py", GROUPS)
    shown = []
    bench.run("fake", repeats=5, show=shown.append)
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())["groups"]
    assert {name: list(group["lines"]["shape"]) for name, group in written.items()} == {
        "CPU": ["forward", "backward"],
        "GPU": ["forward"],
    }
    assert {"hardware", "threads", "commit", "clean", "date", "versions"} <= set(written["GPU"])
    one = written["CPU"]["lines"]["shape"]["backward"]
    assert list(one) == ["ours", "theirs"]
    assert one["theirs"]["peak_mib"] > 60 > one["ours"]["peak_mib"]
    assert all(side["ms"] > 0 for side in one.values())
    assert len(shown) == 3
    assert shown[0].startswith("CPU, shape, forward: ours ")


def test_a_run_of_some_groups_keeps_the_others(fake_paper):
    fake_paper.write("tests/bench.py", GROUPS)
    kept = {"results": {"attention": 1}, "date": "then", "groups": {"CPU": "as it was", "another machine": "too"}}
    fake_paper.write("benchmarks.json", json.dumps(kept))
    bench.run("fake", repeats=5, only="GPU")
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())
    assert written["groups"].pop("GPU")["lines"]
    assert written == kept
    with pytest.raises(ValueError, match=r"no group or table of .* has 'TPU' in its name"):
        bench.run("fake", only="TPU")


def test_tables_are_written_with_their_circumstances(fake_paper):
    fake_paper.write("tests/bench.py", TABLES)
    kept = {"tables": {"what else changes": "as it was"}}
    fake_paper.write("benchmarks.json", json.dumps(kept))
    shown = []
    bench.run("fake", only="tiles", show=shown.append)
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())
    table = written["tables"].pop("tiles")
    assert written == kept
    assert shown == ["tiles: 2 rows"]
    assert (table["columns"], table["rows"]) == (["tile", "change (dB)"], [["32", "-0.01"], ["64", "0.00"]])
    assert table["note"] == "On one picture."
    assert {"hardware", "threads", "commit", "clean", "date", "versions"} <= set(table)
    bench.run("fake")
    written = json.loads((fake_paper.root / "benchmarks.json").read_text())
    assert written["tables"]["what else changes"]["rows"] == [["all"]]


def test_a_row_of_another_length_than_the_head_is_refused():
    with pytest.raises(ValueError, match=r"\['32'\] does not have the 2 columns"):
        bench.Table(("tile", "change"), [("32",)], "")


def test_a_long_step_is_called_less_often(monkeypatch):
    monkeypatch.setattr(bench, "_cpu_milliseconds", lambda function: 1.0)
    for seconds, calls in ((0.1, bench.CALLS), (bench.SECONDS / 2, 2), (bench.SECONDS * 2, 1)):
        monkeypatch.setattr(bench, "_milliseconds", lambda function, taken=seconds: taken * 1e3)
        assert len(bench._step_times(int)) == calls


def test_sides_are_called_in_turn_as_often_as_the_time_allows(monkeypatch):
    calls = []
    sides = {name: lambda name=name: lambda: calls.append(name) for name in ("ours", "theirs")}
    monkeypatch.setattr(bench, "_milliseconds", lambda function: (function(), 1000.0)[1])
    assert bench.measure_sides(sides, repeats=30) == {"ours": {"ms": 1000.0}, "theirs": {"ms": 1000.0}}
    assert calls == ["ours", "theirs"] * (2 + int(bench.SECONDS / 2))
    monkeypatch.setattr(bench, "_milliseconds", lambda function: (function(), 1e6)[1])
    calls.clear()
    bench.measure_sides(sides, repeats=30)
    assert calls == ["ours", "theirs"] * (2 + bench.FEWEST)


def test_the_cores_operators_have_benchmarks_of_their_own():
    root = tables.benchmarks_root(tables.OPERATORS)
    assert (root / "tests" / "bench.py").is_file()
    assert (root / "src" / "mmrepro").is_dir()


def test_a_program_that_fails_says_what_it_printed():
    command = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    with pytest.raises(bench.ProgramError, match="ended with 1:\nout of luck"):
        bench.measure_program(bench.Program(lambda folder: [command], lambda folder, printed: {}))


def test_without_cases_it_says_so(fake_paper):
    with pytest.raises(FileNotFoundError, match=r"no tests/bench\.py"):
        bench.run("fake")
