from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmrepro.datasets.registry import DataNotFoundError
from mmrepro.reproduction import parity
from mmrepro.testing import Case


def states(paper):
    return {result.name: result.state for result in parity.run_cases(paper.root)}


def test_cases_pass_fail_or_are_not_served(fake_paper):
    fake_paper.write_case("crashing", crash=True)
    fake_paper.write_case("faulty", fault=1.0)
    fake_paper.write_case("foreign", kind="unknown_kind")
    assert states(fake_paper) == {
        "crashing": "failed",
        "faulty": "failed",
        "foreign": "not_served",
        "linear_1": "passed",
    }


def test_a_case_may_ask_for_every_bit(fake_paper):
    case = parity.load_case(fake_paper.root / "tests" / "parity" / "linear_1")
    case.manifest["tolerance"] = 0
    exact = SimpleNamespace(run=lambda *given: dict(case.expected))
    assert parity.run_case(exact, case).state == "passed"
    assert parity.run_case(exact, case).ratio == 0
    assert parity.run_case(parity.load_adapter(fake_paper.root), case).state == "failed"


def test_the_summary_says_which_and_how_close(fake_paper):
    fake_paper.write_case("crashing", crash=True)
    fake_paper.write_case("foreign", kind="unknown_kind")
    metrics, details = parity.summarize(parity.run_cases(fake_paper.root))
    assert {name: metrics[name] for name in ("passed", "failed", "not_served", "no_data")} == {
        "passed": 1,
        "failed": 1,
        "not_served": 1,
        "no_data": 0,
    }
    assert metrics["worst"] == pytest.approx(0.1, rel=1e-2)  # an error of 1e-4 with a tolerance of 1e-3
    assert details["worst_case"] == "linear_1"
    assert details["failed"] == {"crashing": "KeyError: 'head.weight'"}
    assert details["not_served"] == ["unknown_kind"]


class Adapter:
    def __init__(self, error):
        self.error = error

    def run(self, manifest, state, inputs):
        raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("kind 'forward' is not served"), "not_served"),
        (ValueError("no kind forward here"), "not_served"),
        (ValueError("the forward pass got a wrong shape"), "failed"),
        (UnicodeError("kind 'forward'"), "failed"),
        (DataNotFoundError("etth1 was not found"), "no_data"),
        (RuntimeError("kind 'forward'"), "failed"),
    ],
)
def test_only_a_refusal_of_the_kind_is_not_served(error, state):
    case = Case("a", {"kind": "forward", "state_dict": {}})
    assert parity.run_case(Adapter(error), case).state == state
