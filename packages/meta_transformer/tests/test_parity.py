"""The stored cases of the official code, at their own tolerance."""

from pathlib import Path

import pytest

from mmrepro.testing import case_names, check, load_adapter, load_case

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "parity"
ADAPTER = load_adapter(ROOT)


@pytest.mark.parametrize("name", case_names(CASES))
def test_case(name):
    case = load_case(CASES / name)
    check(case, ADAPTER.run(case.public, case.state_dict(), case.inputs))


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind 'backward' is not served; served are .*'losses'"):
        ADAPTER.run({"kind": "backward"}, {}, {})
