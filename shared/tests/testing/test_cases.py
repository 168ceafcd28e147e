"""Parity cases: the drawn numbers are the format's, bit for bit, and checks fail where the format says so."""

from __future__ import annotations

import gzip
import json
import zlib

import numpy as np
import pytest

from mmrepro.testing import Case, case_names, check, compare, load_case, load_keys
from mmrepro.testing.cases import cut, draw_input, draw_weight


def stream(text: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))


# The checksums are those of the format's reference implementation.
@pytest.mark.parametrize(
    ("key", "shape", "seed", "checksum"),
    [
        ("encoder.layer.0.weight", [4, 3, 3], 7, 0xD76F6961),
        ("norm.weight", [5], 0, 0xE7520179),
        ("norm.bias", [5], 0, 0xA9943CD5),
        ("bn.running_var", [5], 3, 0x8A553F6A),
        ("wide", [2, 5000], 0, 0xB55FD614),
        ("gamma_1", [3], 0, 0x2A7DF0F9),
    ],
)
def test_weights_are_those_of_the_format(key, shape, seed, checksum):
    drawn = draw_weight(key, shape, seed)
    assert drawn.dtype == np.float32
    assert drawn.shape == tuple(shape)
    assert zlib.crc32(drawn.tobytes()) == checksum


@pytest.mark.parametrize(("kind", "checksum"), [("normal", 0x6FCA65D4), ("uniform", 0xFBBE7768)])
def test_inputs_are_those_of_the_format(kind, checksum):
    assert zlib.crc32(draw_input("x", [2, 3], kind, 5).tobytes()) == checksum


def test_a_name_and_a_seed_are_one_stream():
    assert np.array_equal(
        draw_weight("a.bias", [4], 9), (0.1 * stream("9:a.bias").standard_normal(4)).astype(np.float32)
    )
    matrix = stream("0:a.w").standard_normal((2, 16)) * 0.25
    assert np.array_equal(draw_weight("a.w", [2, 16]), matrix.astype(np.float32))
    assert np.array_equal(draw_input("x", [3]), stream("0:input:x").standard_normal(3).astype(np.float32))
    assert not np.array_equal(draw_weight("a.bias", [4], 9), draw_weight("a.bias", [4], 8))


def test_a_wide_kernel_keeps_a_least_deviation():
    assert draw_weight("w", [4, 10000]).std() == pytest.approx(0.02, rel=0.02)


def case(expected=None, arrays=None, **manifest) -> Case:
    manifest = {"kind": "k", "state_dict": {}, "expected": expected or {}, **manifest}
    return Case("a", manifest, {name: np.asarray(value) for name, value in (arrays or {}).items()})


def test_stored_weights_and_aliases_stand_in_the_state_dict():
    one = case(state_dict={"a": [2], "b": [2]}, aliases={"c": "b", "d": "not here"}, arrays={"weight:b": [1.0, 2.0]})
    state = one.state_dict()
    assert set(state) == {"a", "b", "c"}
    assert state["c"] is state["b"]
    assert state["b"].tolist() == [1, 2]


def test_a_stored_input_replaces_a_drawn_one():
    one = case(inputs={"x": {"shape": [2]}, "y": {"shape": [2], "kind": "uniform"}}, arrays={"input:x": [7, 8]}, seed=3)
    assert one.inputs["x"].tolist() == [7, 8]
    assert np.array_equal(one.inputs["y"], draw_input("y", [2], "uniform", 3))


def test_the_adapter_never_sees_what_is_expected():
    one = case(expected={"loss": 1.0}, seed=3)
    assert "expected" not in one.public
    assert one.public["seed"] == 3


def test_expected_values_are_flattened():
    one = case(
        expected={
            "losses": {"box": 0.5, "names": ["a", "b"]},
            "table": [[1, 2], [3, 4]],
            "ragged": [[1], [2, 3]],
            "steps": [{"lr": 0.1}],
            "none": [],
        },
        arrays={"expected:out": [1.0]},
    )
    expected = one.expected
    assert expected["losses/box"] == 0.5
    assert expected["losses/names"] == ["a", "b"]
    assert expected["table"].shape == (2, 2)
    assert expected["ragged/1"].tolist() == [2, 3]
    assert expected["steps/0/lr"] == 0.1
    assert expected["none"] == []
    assert expected["out"].tolist() == [1]


def test_check_returns_the_error_of_each_array():
    one = case(expected={"loss": 2.0}, arrays={"expected:out": [1.0, -4.0]}, tolerance=1e-3)
    assert check(one, {"loss": 2.0, "out": [1.0, -4.002], "more": 0}) == {"loss": 0.0, "out": pytest.approx(0.0005)}


def test_check_lists_everything_that_is_wrong():
    one = case(expected={"loss": 2.0, "name": "x", "gone": 1.0}, arrays={"expected:out": [1.0]})
    with pytest.raises(AssertionError, match=r"loss: relative error .*; name: .*; gone: not returned; out: shape"):
        check(one, {"loss": 2.1, "name": "y", "out": [1.0, 2.0]})


def test_a_full_output_is_cut_as_the_expected_one_was():
    full = np.arange(24.0).reshape(2, 3, 4)
    one = case(arrays={"expected:out": full[:, ::2, :2]}, expected_slice={"out": "[:, ::2, :2]"})
    assert check(one, {"out": full}) == {"out": 0.0}
    assert check(one, {"out": full[:, ::2, :2]}) == {"out": 0.0}


def test_an_array_has_its_own_tolerance():
    one = case(arrays={"expected:a": [1.0], "expected:b": [1.0]}, tolerance=1e-6, tolerance_by_array={"a": 1e-2})
    with pytest.raises(AssertionError, match="b: relative error") as raised:
        check(one, {"a": [1.001], "b": [1.001]})
    assert "a: relative" not in str(raised.value)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[1]", np.s_[1]),
        ("[..., :2]", np.s_[..., :2]),
        ("[:, ::4, -1]", np.s_[:, ::4, -1]),
        ("[1:3,]", np.s_[1:3]),
        (None, ()),
    ],
)
def test_slices(expression, expected):
    array = np.arange(5 * 6 * 4).reshape(5, 6, 4)
    assert np.array_equal(cut(array, expression), array[expected])


def test_compare_is_relative_to_the_largest_expected_magnitude():
    assert compare([1.0, 100.001], [1.0, 100.0]) == pytest.approx(1e-5)
    with pytest.raises(AssertionError, match=r"relative error 0\.01, allowed 0\.001"):
        compare([1.01, 1.0], [1.0, 1.0], 1e-3)


def test_compare_wants_non_finite_values_at_the_same_places():
    assert compare([np.nan, np.inf, 1], [np.nan, np.inf, 1]) == 0
    assert compare([], []) == 0
    with pytest.raises(AssertionError, match="non-finite"):
        compare([np.nan, 1.0], [0.0, 1.0])
    with pytest.raises(AssertionError, match="relative error"):
        compare([-np.inf, 1.0], [np.inf, 1.0])


def test_a_case_is_loaded_from_its_files(tmp_path):
    (tmp_path / "v1.5.json").write_text(
        json.dumps({"kind": "k", "state_dict": {}, "config": {"n": 1}, "tolerance": 0.1})
    )
    assert load_case(tmp_path / "v1.5").arrays == {}
    np.savez_compressed(tmp_path / "v1.5.npz", **{"expected:out": [1.0]})
    one = load_case(tmp_path / "v1.5")
    assert (one.name, one.kind, one.config, one.tolerance, one.seed) == ("v1.5", "k", {"n": 1}, 0.1, 0)
    assert one.expected["out"].tolist() == [1]


def test_lists_of_keys_are_no_cases(tmp_path):
    for name in ("b.json", "a.json", "keys_a.json", "param_groups_a.json", "a.npz"):
        (tmp_path / name).write_text("{}")
    assert case_names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("packed", [False, True])
def test_lists_of_keys_are_read_packed_or_not(tmp_path, packed):
    content = json.dumps({"variants": {"v": {"state_dict": {"a": [1]}}}}).encode()
    path = tmp_path / ("keys_a.json.gz" if packed else "keys_a.json")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert load_keys(path)["v"]["state_dict"] == {"a": [1]}
