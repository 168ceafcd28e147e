"""The adapter follows a case's settings where they are not those of the stored ones."""

from pathlib import Path

import numpy as np
import pytest

from mmrepro.testing import Case, load_adapter, load_case

ROOT = Path(__file__).resolve().parents[1]
ADAPTER = load_adapter(ROOT)


def stored(name):
    """The manifest of a stored case and its given arrays."""
    case = load_case(ROOT / "tests" / "parity" / name)
    return case.manifest, {key: value for key, value in case.arrays.items() if key.startswith("input:")}


def run(manifest, arrays):
    """The adapter's outputs as arrays, and the case."""
    case = Case(manifest["kind"], manifest, arrays)
    outputs = ADAPTER.run(case.public, case.state_dict(), case.inputs)
    return {name: np.asarray(value) for name, value in outputs.items()}, case


def test_patches_and_their_two_steps_of_a_spectrogram():
    manifest, arrays = stored("data2seq_audio")
    manifest["config"] |= dict(fstride=8, tstride=12, patch_size=20, embed_dim=4)
    manifest["state_dict"] = {"proj.weight": [4, 1, 20, 20], "proj.bias": [4]}
    manifest["inputs"]["spectrogram"]["shape"] = [1, 1, 64, 100]
    assert run(manifest, arrays)[0]["tokens"].shape == (1, 6 * 7, 4)


@pytest.mark.parametrize("freq", ["h", "t"])
def test_float_marks_go_through_the_given_layer(freq):
    manifest, _ = stored("data2seq_time_series_marks")
    count = {"h": 4, "t": 5}[freq]
    manifest["config"] |= dict(c_in=6, d_model=8, embed_type="timeF", freq=freq)
    manifest["state_dict"] = {
        "value_embedding.tokenConv.weight": [8, 6, 3],
        "temporal_embedding.embed.weight": [8, count],
    }
    manifest["inputs"] = {name: {"shape": [2, 5, width]} for name, width in (("series", 6), ("marks", count))}
    outputs, case = run(manifest, {})
    expected = case.inputs["marks"] @ case.state_dict()["temporal_embedding.embed.weight"].T
    np.testing.assert_allclose(outputs["temporal"], expected, atol=1e-5)


def test_learned_tables_of_time_are_the_given_ones():
    manifest, arrays = stored("data2seq_time_series_marks")
    manifest["config"] |= dict(c_in=6, d_model=8, embed_type="learned")
    tables = dict(month=13, day=32, weekday=7, hour=24)
    manifest["state_dict"] = {f"temporal_embedding.{name}_embed.weight": [rows, 8] for name, rows in tables.items()}
    manifest["state_dict"]["value_embedding.tokenConv.weight"] = [8, 6, 3]
    manifest["inputs"]["series"]["shape"] = [2, 48, 6]
    outputs, case = run(manifest, arrays)
    marks, weights = arrays["input:marks"].astype(int), case.state_dict()
    expected = [weights[f"temporal_embedding.{name}_embed.weight"][marks[..., at]] for at, name in enumerate(tables)]
    np.testing.assert_allclose(outputs["temporal"], sum(expected), atol=1e-5)


def test_identifiers_of_graphs_are_those_that_are_on():
    manifest, arrays = stored("data2seq_graph")
    manifest["config"] |= dict(rand_node_id=0, orf_node_id=0, type_id=0, lap_node_id_k=12)
    manifest["state_dict"]["lap_encoder.weight"] = [64, 24]
    for name in ("rand_encoder", "orf_encoder", "order_encoder"):
        del manifest["state_dict"][f"{name}.weight"]
    manifest["inputs"] = {}
    del arrays["input:orf"]
    assert run(manifest, arrays)[0]["tokens"].shape == (2, 28, 64)


def test_codes_of_graphs_are_apart_by_the_given_offset():
    manifest, arrays = stored("graph_collate")
    manifest["config"]["offset"] = 200
    outputs, case = run(manifest, arrays)
    np.testing.assert_array_equal(outputs["node_data"][:6] - case.inputs["x0"], [2 + 200 * np.arange(9)] * 6)


def test_values_of_a_band_are_those_of_a_patch_and_its_neighbours():
    manifest, arrays = stored("data2seq_hyper")
    manifest["config"] |= dict(near_band=5, img_size=3, patch_size=11, embed_dim=8)
    shapes = dict(pos_embedding=[1, 12, 8], cls_token=[1, 1, 8])
    manifest["state_dict"] = shapes | {"patch_to_embedding.weight": [8, 45], "patch_to_embedding.bias": [8]}
    manifest["inputs"]["bands"]["shape"] = [2, 11, 45]
    assert run(manifest, arrays)[0]["tokens"].shape == (2, 12, 8)


@pytest.mark.parametrize(("name", "kinds"), [("modelnet40", "max,cls"), ("scanobjectnn", "avg,cls,max")])
def test_groups_and_summaries_of_clouds(name, kinds):
    manifest, arrays = stored(f"pointcloud_{name}_forward")
    shapes = manifest["state_dict"]
    manifest["state_dict"] = {
        key: shape
        for key, shape in shapes.items()
        if not key.startswith("encoder.blocks.") or key.startswith("encoder.blocks.0.")
    }
    encoder = manifest["config"]["encoder_args"]
    encoder["embed_args"] |= dict(group_size=5, sample_ratio=0.125 if name == "modelnet40" else 0.25)
    encoder |= dict(global_feat=kinds, num_heads=6)
    manifest["state_dict"]["prediction.head.0.0.weight"] = [256, 768 * len(kinds.split(","))]
    manifest["inputs"]["pos"]["shape"] = [1, 48, 3]
    outputs, _ = run(manifest, arrays)
    count = 6 if name == "modelnet40" else 12
    assert outputs["encoded"].shape == (1, 1 + count, 768)
    encoder["embed_args"]["group_size"] = 9
    assert np.abs(run(manifest, arrays)[0]["patch_tokens"] - outputs["patch_tokens"]).max() > 1e-3
