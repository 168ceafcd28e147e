"""The stored cases of the official code, at their own tolerance."""

from pathlib import Path

import pytest

from mmrepro.testing import case_names, check, load_adapter, load_case

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "parity"
ADAPTER = load_adapter(ROOT)
# A forward pass of the large backbones takes about ten seconds each.
SLOW = ("convnext_l_forward", "focal_l_forward", "swin_l_forward")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in case_names(CASES)]


@pytest.mark.parametrize("name", NAMES)
def test_case(name):
    case = load_case(CASES / name)
    check(case, ADAPTER.run(case.public, case.state_dict(), case.inputs))


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind 'backward' is not served; served are .*'forward'"):
        ADAPTER.run({"kind": "backward"}, {}, {})
