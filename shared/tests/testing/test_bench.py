from __future__ import annotations

import json

import pytest

from mmrepro.testing import bench

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


def test_without_cases_it_says_so(fake_paper):
    with pytest.raises(FileNotFoundError, match=r"no tests/bench\.py"):
        bench.run("fake")
