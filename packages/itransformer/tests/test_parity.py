"""The stored cases of the official code, at their own tolerance."""

from pathlib import Path

import numpy as np
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
    with pytest.raises(ValueError, match=r"sample_index: shape \(25, 3\) is stored, \(25, 4\) is asked for"):
        ADAPTER.run(case.public, case.state_dict(), inputs)


@pytest.mark.parametrize("name", ["forward_iinformer_weather", "baseline_informer"])
def test_stored_draws_of_another_number_are_no_answer(name):
    case = load_case(CASES / name)
    count = sum(key.startswith("sample_index") for key in case.inputs)
    inputs = case.inputs | {f"sample_index{count}": case.inputs["sample_index0"]}
    with pytest.raises(ValueError, match=f"sample_index: {count + 1} draws are stored, {count} were"):
        ADAPTER.run(case.public, case.state_dict(), inputs)


def test_stored_draws_of_a_model_that_draws_none_are_refused():
    case = load_case(CASES / "baseline_transformer")
    inputs = case.inputs | {"rotations0": np.zeros((1, 2), np.float32)}
    with pytest.raises(ValueError, match="rotations: 1 draws are stored, 0 were asked for"):
        ADAPTER.run(case.public, case.state_dict(), inputs)


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        ("tslib_long_term_forecast", ["mask"]),
        ("tslib_imputation", []),
        ("tslib_anomaly_detection", ["x_mark", "mask"]),
        ("tslib_classification", ["x_mark", "mask"]),
        ("baseline_reformer", ["x_dec"]),
    ],
)
def test_inputs_that_a_model_does_not_read_are_not_asked_for(name, unread):
    case = load_case(CASES / name)
    inputs = {key: value for key, value in case.inputs.items() if key not in unread}
    notes = case.manifest["notes"] if name.startswith("baseline") else {}  # without notes the usual numbers hold
    check(case, ADAPTER.run(case.public | {"notes": notes}, case.state_dict(), inputs))


@pytest.mark.parametrize("name", ["tslib_long_term_forecast", "tslib_imputation", "baseline_transformer"])
def test_marks_are_no_must(name):
    case = load_case(CASES / name)
    inputs = {key: value for key, value in case.inputs.items() if not key.endswith("_mark")}
    output = ADAPTER.run(case.public, case.state_dict(), inputs)["output"]
    assert output.shape == case.expected["output"].shape
    assert not np.allclose(output, case.expected["output"], atol=1e-3)


def test_without_a_mask_everything_is_observed():
    case = load_case(CASES / "tslib_imputation")
    without = {key: value for key, value in case.inputs.items() if key != "mask"}
    ones = case.inputs | {"mask": np.ones_like(case.inputs["mask"])}
    outputs = [ADAPTER.run(case.public, case.state_dict(), inputs)["output"] for inputs in (without, ones)]
    assert np.array_equal(*outputs)


def test_the_adapter_leaves_inputs_as_they_are():
    case = load_case(CASES / "baseline_transformer")
    inputs = case.inputs
    ADAPTER.run(case.public, case.state_dict(), inputs)
    assert all(np.array_equal(inputs[key], value) for key, value in case.inputs.items())


def test_trained_weights_are_tested_on_other_files_and_with_any_batch_size():
    case, file = load_case(CASES / "trained_etth2_96"), "exchange_rate.csv"
    require_data(ADAPTER.parity_data().find_file(file))
    public = case.public | {"config": case.config | {"file": file}}  # the number of variates is free
    outputs = ADAPTER.run(public, case.state_dict(), {})
    assert outputs["forecast_last"].shape == (96, 8)
    assert outputs["mse_per_variate"].shape == (8,)
    assert outputs["mse_drop1"] == pytest.approx(outputs["mse"])
    assert outputs["mse_drop500"] != pytest.approx(outputs["mse"])  # of 1,422 windows 422 are left out


@pytest.mark.parametrize("entry", ["Dataset_Solar", "Dataset_PEMS"])
def test_files_without_dates_are_not_asked_for_marks(tmp_path, entry):
    data, values = ADAPTER.parity_data(), np.random.default_rng(0).normal(size=(200, 3))
    file = tmp_path / ("own.txt" if entry == "Dataset_Solar" else "own.npz")
    if entry == "Dataset_Solar":
        np.savetxt(file, values, delimiter=",")
    else:
        np.savez(file, data=values[..., None])
    config = {"seq_len": 12, "features": "M", "target": "OT", "freq": "h", "timeenc": 1, "scale": True}
    windows = data.dataset(entry, "test", pred_len=4, file=file, **data.options_of(entry, config))
    assert windows.marks is None
    assert windows[0]["inputs"].shape == (12, 3)
