"""The stored cases of the official code, at their own tolerance."""

from pathlib import Path

import pytest

from mmrepro.testing import case_names, check, load_adapter, load_case, require_data

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "parity"
ADAPTER = load_adapter(ROOT)
NAMES = case_names(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_case(name):
    case = load_case(CASES / name)
    if "file" in case.config:
        require_data(ADAPTER.parity_data().find_file(case.config["file"]))
    check(case, ADAPTER.run(case.public, case.state_dict(), case.inputs))


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind 'backward' is not served; served are .*'forward'"):
        ADAPTER.run({"kind": "backward", "entry": "model/iTransformer.py:Model"}, {}, {})


def test_a_known_kind_of_an_unknown_model_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind 'forward' is served for .*, not for 'model/iMamba.py:Model'"):
        ADAPTER.run({"kind": "forward", "entry": "model/iMamba.py:Model"}, {}, {})


def test_stored_draws_of_another_shape_are_no_answer():
    case = load_case(CASES / "forward_iinformer_weather")
    inputs = case.inputs | {"sample_index1": case.inputs["sample_index1"][:, :3]}
    with pytest.raises(ValueError, match=r"shape \(25, 3\) are stored"):
        ADAPTER.run(case.public, case.state_dict(), inputs)
