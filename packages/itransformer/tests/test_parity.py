"""The stored cases of the official code, at their own tolerance."""

from pathlib import Path

import pytest

from mmrepro.testing import case_names, check, load_adapter, load_case, require_data

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "parity"
ADAPTER = load_adapter(ROOT)


def served(name: str) -> bool:
    manifest = load_case(CASES / name).manifest
    entries = ADAPTER.KINDS.get(manifest["kind"], (None, ()))[1]
    return bool(entries) and manifest["entry"].startswith(entries)


NAMES = case_names(CASES)
SERVED = [name for name in NAMES if served(name)]


@pytest.mark.parametrize("name", SERVED)
def test_case(name):
    case = load_case(CASES / name)
    if "file" in case.config:
        require_data(ADAPTER.parity_data().find_file(case.config["file"]))
    check(case, ADAPTER.run(case.public, case.state_dict(), case.inputs))


def test_every_case_of_the_main_model_is_served():
    of_variants = ("forward_ii", "forward_ir", "forward_if", "grad_train_iflow", "baseline_", "partial_", "tslib_")
    others = {name for name in NAMES if name.startswith(of_variants)} - {"tslib_long_term_forecast"}
    assert set(SERVED) == set(NAMES) - others


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SERVED])
def test_what_is_not_served_is_refused_by_name(name):
    case = load_case(CASES / name)
    with pytest.raises(ValueError, match=repr(case.kind)):
        ADAPTER.run(case.public, {}, {})
