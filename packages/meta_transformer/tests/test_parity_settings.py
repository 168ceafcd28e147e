"""The adapter follows a case's settings where they are not those of the stored ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

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


def test_sizes_norms_and_biases_of_the_encoder():
    manifest, _ = stored("encoder_base_forward")
    manifest["config"] |= dict(dim=16, depth=2, num_heads=4, mlp_ratio=2.0, qkv_bias=False)
    wide = dict(norm1=[16], norm2=[16])
    shapes = {f"{i}.{name}.{part}": size for i in (0, 1) for name, size in wide.items() for part in ("weight", "bias")}
    for i in (0, 1):
        shapes |= {f"{i}.attn.qkv.weight": [48, 16], f"{i}.attn.proj.weight": [16, 16], f"{i}.attn.proj.bias": [16]}
        shapes |= {f"{i}.mlp.fc1.weight": [32, 16], f"{i}.mlp.fc1.bias": [32]}
        shapes |= {f"{i}.mlp.fc2.weight": [16, 32], f"{i}.mlp.fc2.bias": [16]}
    manifest["state_dict"] = shapes
    manifest["inputs"]["tokens"]["shape"] = [2, 5, 16]
    outputs, case = run(manifest, {})
    weights = {key: torch.from_numpy(value) for key, value in case.state_dict().items()}
    tokens = torch.from_numpy(case.inputs["tokens"])

    def normed(name):
        return F.layer_norm(tokens, (16,), weights[f"0.{name}.weight"], weights[f"0.{name}.bias"])

    query, key, value = (
        part.unflatten(-1, (4, 4)).transpose(1, 2)
        for part in (normed("norm1") @ weights["0.attn.qkv.weight"].T).chunk(3, -1)
    )
    mixed = ((query @ key.transpose(2, 3) / 2).softmax(-1) @ value).transpose(1, 2).flatten(2)
    tokens = tokens + F.linear(mixed, weights["0.attn.proj.weight"], weights["0.attn.proj.bias"])
    hidden = F.gelu(F.linear(normed("norm2"), weights["0.mlp.fc1.weight"], weights["0.mlp.fc1.bias"]))
    tokens = tokens + F.linear(hidden, weights["0.mlp.fc2.weight"], weights["0.mlp.fc2.bias"])
    np.testing.assert_allclose(outputs["block0"], tokens, rtol=1e-4, atol=1e-5)
    manifest["config"]["norm"] = "LayerNorm eps 0.5"
    assert np.abs(run(manifest, {})[0]["output"] - outputs["output"]).max() > 1e-2
    with pytest.raises(ValueError, match="act='QuickGELU'"):
        run(manifest | {"config": manifest["config"] | dict(act="QuickGELU")}, {})


def narrowed(manifest, only, share=12):
    """The manifest with the width of the encoder divided, and of numbered blocks the first alone."""
    widths = (192, 384, 768, 2304, 3072) if share == 8 else (768, 2304, 3072)
    manifest["state_dict"] = {
        key: [size // share if size in widths else size for size in shape]
        for key, shape in manifest["state_dict"].items()
        if only is None or not key.startswith(only) or key.startswith(f"{only}0.")
    }
    return manifest


def narrow_graphs(**config):
    """The stored graph model with 64 channels and one block, and its graphs."""
    manifest, arrays = stored("graph_tokengt_forward")
    manifest["config"] |= dict(encoder_embed_dim=64) | config
    return narrowed(manifest, "encoder.graph_encoder.layers."), arrays


def first_graphs(arrays, count):
    """The first graph of a case's arrays, as often as asked for."""
    nodes, edges = int(arrays["input:node_num"][0]), int(arrays["input:edge_num"][0])
    rows = dict(node_data=nodes, lap_eigvec=nodes, rand_node_id=nodes, edge_data=edges, y=1, node_num=1, edge_num=1)
    rows |= dict(orf=1)
    kept = {f"input:{name}": arrays[f"input:{name}"][:size] for name, size in rows.items() if f"input:{name}" in arrays}
    kept = {name: np.concatenate([array] * count) for name, array in kept.items()}
    return kept | {"input:edge_index": np.tile(arrays["input:edge_index"][:, :edges], count)}


def test_graphs_without_padding_have_a_mask_of_nothing():
    manifest, arrays = narrow_graphs()
    (one, case), (two, _) = (run(manifest, first_graphs(arrays, count)) for count in (1, 2))
    length = int(case.inputs["node_num"][0] + case.inputs["edge_num"][0])
    for count, found in ((1, one), (2, two)):
        assert found["padding_mask"].shape == (count, length + 2)
        assert not found["padding_mask"].any()
    assert one["padded_index"].shape == (1, length, 2)
    # over two graphs that are the same, attention finds what it finds over one
    np.testing.assert_allclose(two["logits"], np.repeat(one["logits"], 2, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(two["l1_sum"], 2 * one["l1_sum"], rtol=1e-4)


def test_tokens_of_one_graph():
    manifest, arrays = stored("data2seq_graph")
    whole, case = run(manifest, arrays)
    count = int(case.inputs["node_num"][0] + case.inputs["edge_num"][0])
    kept = first_graphs({f"input:{name}": array for name, array in case.inputs.items()}, 1)
    found = ADAPTER.run(case.public, case.state_dict(), {name.removeprefix("input:"): a for name, a in kept.items()})
    assert found["padding_mask"].shape == (1, count + 2)
    assert not found["padding_mask"].any()
    np.testing.assert_allclose(found["tokens"], whole["tokens"][:1, : count + 2], atol=1e-5)


def test_several_values_of_a_graph_share_their_bias():
    manifest, arrays = narrow_graphs(num_classes=3)
    manifest["state_dict"]["encoder.embed_out.weight"][0] = 3
    outputs, case = run(manifest, arrays)
    count = len(case.inputs["y"])
    assert outputs["logits"].shape == (count, 3)
    expected = np.abs(outputs["logits"] - case.inputs["y"].reshape(-1, 1)).sum()
    np.testing.assert_allclose(outputs["l1_sum"], expected, rtol=1e-5)


def test_options_of_the_graph_model():
    outputs = run(*narrow_graphs())[0]
    assert np.abs(run(*narrow_graphs(activation_fn="relu"))[0]["logits"] - outputs["logits"]).max() > 1e-3
    manifest, arrays = narrow_graphs(encoder_normalize_before=False)
    manifest["state_dict"] = {key: shape for key, shape in manifest["state_dict"].items() if "emb_layer" not in key}
    plain = run(manifest, arrays)[0]
    np.testing.assert_array_equal(plain["tokens"], outputs["tokens"])
    assert np.abs(plain["state1"] - outputs["state1"]).max() > 1e-2
    for option, fault in ((dict(performer=True), "performer=True is"), (dict(activation_fn="swish"), "'swish'")):
        with pytest.raises(ValueError, match=fault):
            run(*narrow_graphs(**option))


def test_graphs_with_one_feature_of_edges_and_without_the_large_ones():
    manifest, arrays = stored("graph_collate")
    whole = run(manifest, arrays)[0]
    sizes = whole["node_num"].tolist()
    large = int(np.argmax(sizes))
    kept = 1 - large
    edges = arrays[f"input:edge_attr{kept}"]
    outputs, _ = run(manifest | {"config": manifest["config"] | dict(max_node=min(sizes))}, arrays)
    assert outputs["node_num"].tolist() == [min(sizes)]
    assert len(outputs["edge_data"]) == len(edges)
    assert outputs["lap_eigval"].shape == (min(sizes), min(sizes))
    columns = {f"input:edge_attr{number}": arrays[f"input:edge_attr{number}"][:, 0] for number in (0, 1)}
    outputs, _ = run(manifest, arrays | columns)
    np.testing.assert_array_equal(outputs["edge_data"], whole["edge_data"][:, :1])


def test_a_text_feature_is_cut_to_fewer_channels():
    manifest, _ = stored("data2seq_text_zero_padding")
    manifest["config"]["tar_dim"] = 256
    outputs, case = run(manifest, {})
    np.testing.assert_array_equal(outputs["tokens"], case.inputs["clip_text"][:, :256])


def test_tokens_of_bands_are_not_dropped_in_evaluation():
    manifest, arrays = stored("data2seq_hyper")
    whole = run(manifest, arrays)[0]["tokens"]
    manifest["config"]["dropout"] = 0.5
    np.testing.assert_array_equal(run(manifest, arrays)[0]["tokens"], whole)


def test_fewer_bands_than_positions():
    manifest, arrays = stored("data2seq_hyper")
    manifest["inputs"]["bands"]["shape"] = [2, 150, 3]
    outputs, case = run(manifest, arrays)
    weights = case.state_dict()
    band = case.inputs["bands"] @ weights["patch_to_embedding.weight"].T + weights["patch_to_embedding.bias"]
    np.testing.assert_allclose(outputs["tokens"][:, 1:], band + weights["pos_embedding"][:, 1:151], atol=1e-5)
    manifest, arrays = stored("hyper_forward")
    narrowed(manifest, "transformer.")
    manifest["inputs"]["bands"]["shape"] = [2, 150, 1]
    assert run(manifest, arrays)[0]["encoded"].shape == (2, 151, 64)


def test_classes_that_occur_in_no_pixel_have_no_row():
    manifest, arrays = stored("hyper_pipeline")
    scores = dict(metric_tar=np.array([0, 0, 2, 2]), metric_pre=np.array([0, 2, 2, 2]))
    outputs, _ = run(manifest, arrays | {f"input:{name}": array for name, array in scores.items()})
    np.testing.assert_allclose(outputs["metric_per_class"], [0.5, 1.0])
    assert outputs["metric_AA"] == 0.75
    scores["metric_pre"] = np.array([0, 1, 2, 2])
    outputs, _ = run(manifest, arrays | {f"input:{name}": array for name, array in scores.items()})
    np.testing.assert_allclose(outputs["metric_per_class"], [0.5, np.nan, 1.0])
    assert np.isnan(outputs["metric_AA"])


def test_a_pixel_of_both_label_maps_is_in_both_splits():
    manifest, arrays = stored("hyper_pipeline")
    before, _ = run(manifest, arrays)
    train, test = arrays["input:TR"], arrays["input:TE"].copy()
    row, column = np.argwhere(train > 0)[0]
    test[row, column] = train[row, column]
    outputs, _ = run(manifest, arrays | {"input:TE": test})
    np.testing.assert_array_equal(outputs["points_train"], before["points_train"])
    assert len(outputs["points_test"]) == len(before["points_test"]) + 1
    assert [row, column] in outputs["points_test"].tolist()


def test_an_mlp_behind_the_tokens_of_a_table_is_refused_by_name():
    manifest, arrays = stored("tabular_forward")
    manifest["state_dict"] = {key: shape for key, shape in manifest["state_dict"].items() if ".encoder." not in key}
    manifest["state_dict"] |= {
        "deeptabular.0.mlp.mlp.dense_layer_0.0.weight": [20, 9217],
        "deeptabular.1.weight": [1, 20],
    }
    with pytest.raises(ValueError, match="mlp_hidden_dims put an MLP"):
        run(manifest, arrays)


def test_the_decoder_reads_another_number_of_variates():
    manifest, arrays = stored("timeseries_forecast")
    manifest["config"] |= dict(dec_in=2, c_out=2, n_heads=4)
    narrowed(manifest, "encoder.")
    manifest["state_dict"] |= {
        "dec_embedding.value_embedding.tokenConv.weight": [64, 2, 3],
        "decoder.projection.weight": [2, 64],
        "decoder.projection.bias": [2],
    }
    manifest["inputs"]["target"]["shape"] = [2, 96, 2]
    outputs, _ = run(manifest, arrays | {"input:x_dec": arrays["input:x_dec"][..., :2]})
    assert outputs["forecast"].shape == (2, 96, 2)
    assert outputs["dec_tokens"].shape == (2, 144, 64)


MONTHS = np.array([12, 16, 20]) * 30 * 24


@pytest.mark.parametrize(
    ("entry", "borders", "columns", "marks"),
    [
        ("Dataset_ETT_hour (features M, timeenc 1, freq h)", MONTHS, 3, 4),
        ("Dataset_ETT_minute (features S, timeenc 0, freq t)", 4 * MONTHS, 1, 5),
        ("Dataset_Custom (features S, timeenc 0, freq h)", np.array([700, 800, 1000]), 1, 4),
        ("Dataset_Custom (features MS, timeenc 1, freq d)", np.array([700, 800, 1000]), 3, 3),
    ],
)
def test_windows_are_those_of_the_loader_and_its_options(entry, borders, columns, marks):
    manifest, _ = stored("timeseries_pipeline")
    manifest["entry"] = f"data_loader.py {entry}"
    manifest["config"]["step"] = "15 min" if "minute" in entry else "1 hour"
    values = np.random.default_rng(0).normal(size=(borders[-1] + (0 if "Custom" in entry else 50), 3))
    outputs, _ = run(manifest, {"input:table": values})
    first, *others = np.diff(borders, prepend=0) - 24 - 6 + 1
    found = [int(outputs[f"{split}_len"]) for split in ("train", "val", "test")]
    assert found == [first, *(count + 24 for count in others)]
    assert outputs["test_x"].shape == (24, columns)
    assert outputs["test_ym"].shape == (18, marks)
    train = values[: borders[0], :columns]  # the target stands first in the file
    order = [0, 1, 2] if "ETT_hour" in entry else np.roll(range(columns), -1)  # that loader moves no column
    np.testing.assert_allclose(outputs["mean"], train.mean(0)[order], atol=1e-9)
    assert (outputs["test_ym"] % 1 == 0).all() == ("timeenc 0" in entry)


def test_a_loader_without_a_data_set_is_refused_by_name():
    manifest, arrays = stored("timeseries_pipeline")
    with pytest.raises(ValueError, match="Dataset_M4 is not served"):
        run(manifest | {"entry": "data_loader.py Dataset_M4"}, arrays)


def test_vit_features_can_be_left_out_of_the_maps():
    manifest, arrays = stored("image_segmentation_vit_adapter")
    narrowed(manifest, None, share=8)["config"]["embed_dim"] = 96
    outputs, _ = run(manifest, arrays)
    manifest["config"]["add_vit_feature"] = False
    del manifest["config"]["cffn_ratio"], manifest["config"]["mlp_ratio"]
    assert np.abs(run(manifest, arrays)[0]["f1"] - outputs["f1"]).max() > 1e-3
    manifest["config"]["patch_size"] = 14
    with pytest.raises(ValueError, match="patch_size=14 is not served"):
        run(manifest, arrays)
