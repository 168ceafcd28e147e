"""The inferencer: what a user gives is predicted as the data sets' samples are, and what cannot be used says why."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from scipy.io import savemat, wavfile

from mm_meta_transformer import MetaTransformerInferencer, visualization
from mm_meta_transformer.checkpoint import to_official
from mm_meta_transformer.datasets.graph_preparation import GraphError
from mm_meta_transformer.datasets.hyperspectral_scene import SceneError, SceneWarning
from mm_meta_transformer.datasets.point_transforms import SamplePoints
from mm_meta_transformer.datasets.read_cloud import CloudError
from mm_meta_transformer.datasets.table import TableError, TableWarning
from mm_meta_transformer.datasets.texts import TextError
from mm_meta_transformer.inferencer import MODALITIES
from mm_meta_transformer.readers import Facts, reader_of
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny


def small(name):
    """Return the tiny version of a config."""
    config = tiny(load_config(papers.find_config("meta_transformer", name)))
    config.pop("tiny")
    return config


@cache
def inferencer(modality):
    """Return one of random weights, which knows its data."""
    known = dataset(modality).metainfo
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MetaTransformerInferencer(small(f"smoke_{modality}"), device="cpu", dataset_meta=known)


@cache
def dataset(modality):
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return DATASETS.build(small(f"smoke_{modality}").test_dataloader.dataset)


def example(modality, number=0):
    return inferencer(modality).reader.example(dataset(modality), number)


def one(modality, source, **options):
    (prediction,) = inferencer(modality)(source, **options)["predictions"]
    return prediction


@pytest.mark.parametrize("modality", [name for name in MODALITIES if name != "time-series"])
def test_what_a_user_gives_is_predicted_as_the_data_sets_sample(modality):
    model, number = inferencer(modality).model, 1
    with torch.no_grad():
        (expected,) = model.test_step(pseudo_collate([dataset(modality)[number]]))
    source, options = example(modality, number)
    found = one(modality, [source], with_tokens=True, with_attention=True, **options)
    np.testing.assert_allclose(found.scores, expected.pred_score, rtol=1e-5, atol=1e-6)
    assert (found.label, found.modality) == (int(expected.pred_label), modality)
    assert (found.score, found.name) == (max(found.scores), found.classes[found.label])
    assert found.repairs == ()
    assert len(found.tokens) == found.attention.shape[1] == len(found.token_norms) + found.layout.prefix
    np.testing.assert_allclose(found.attention.sum(1), 1, rtol=1e-5)
    bare = one(modality, [source], **options)
    assert (bare.tokens, bare.attention) == (None, None)
    np.testing.assert_array_equal(bare.scores, found.scores)


def test_a_series_is_forecast_in_its_own_units_from_tables_and_files(tmp_path):
    model, data = inferencer("time-series").model, dataset("time-series")
    batch = {key: value[None] for key, value in data[3].items()}
    with torch.no_grad():
        expected = model.test_step(batch)[0]["forecast"].double().numpy() * data.std + data.mean
    table, options = example("time-series", 3)
    found = one("time-series", table, **options)
    np.testing.assert_allclose(found.forecast, expected, rtol=1e-4, atol=1e-4)
    assert found.forecast.index.equals(found.sample.raw["truth"].index)
    dated = one("time-series", table, start=str(table.index[options["start"]]))
    pd.testing.assert_frame_equal(dated.forecast, found.forecast)
    table.iloc[: model.seq_len].to_csv(tmp_path / "series.csv", index_label="date")
    beyond = inferencer("time-series")(tmp_path / "series.csv", out_dir=tmp_path / "out")
    pd.testing.assert_frame_equal(beyond["predictions"][0].forecast, found.forecast, check_freq=False, rtol=1e-3)
    assert beyond["predictions"][0].sample.raw["truth"] is None
    table.iloc[: model.seq_len].to_csv(tmp_path / "packed.csv.gz", index_label="date")
    assert one("time-series", tmp_path / "packed.csv.gz").sample.name == "packed"
    assert [file.name for file in beyond["visualization"][0]] == [
        "series.png",
        "series_forecast.png",
        "series_forecast.csv",
    ]
    written = pd.read_csv(tmp_path / "out/series_forecast.csv", index_col="date", parse_dates=True)
    np.testing.assert_allclose(written, beyond["predictions"][0].forecast)


def test_several_samples_at_once_are_predicted_like_each_alone():
    for modality in ("text", "graph"):  # padded
        sources = [example(modality, number)[0] for number in range(3)]
        options = dict(with_tokens=True, with_attention=True)
        together = inferencer(modality)(sources, batch_size=3, **options)["predictions"]
        assert len({len(found.tokens) for found in together}) > 1
        for found, source in zip(together, sources, strict=True):
            alone = one(modality, [source], **options)
            np.testing.assert_allclose(found.scores, alone.scores, rtol=1e-5)
            np.testing.assert_allclose(found.attention, alone.attention, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found.tokens, alone.tokens, rtol=1e-5, atol=1e-6)
            if modality == "graph":
                np.testing.assert_array_equal(found.layout.pairs, alone.layout.pairs)


@pytest.mark.parametrize("modality", ["image", "hyperspectral", "point-cloud", "graph", "time-series"])
def test_encodings_are_the_means_of_all_encoded_content_tokens(modality):
    sources = [example(modality, number)[0] for number in range(2)]
    options = example(modality)[1]
    found = inferencer(modality).encodings(sources, **options)
    assert found.shape == (2, 16)
    model = inferencer(modality).model
    seen = []
    handle = model.tokenizer.register_forward_hook(lambda _, __, made: seen.append(made))
    one(modality, [sources[1]], **options)
    handle.remove()
    tokens = seen[0]
    with torch.no_grad():
        encoded = model.encoder(tokens.tokens, tokens.padding, tokens.info.get("position"))
    np.testing.assert_allclose(found[1], encoded[0, tokens.info["prefix"] :].mean(0), rtol=1e-4, atol=1e-5)


def test_the_weights_must_fit_and_say_what_the_data_was(tmp_path):
    config, model = small("smoke_text"), inferencer("text").model
    facts = {"classes": ("bad", "good"), "pieces": inferencer("text").facts["pieces"]}
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": facts}}, tmp_path / "ours.pth")
    config.test_dataloader.dataset = dict(  # which is not there, nor needed
        type="GLUEDataset", ann_file="absent.tsv", vocabulary=dict(type="learned", size=64), max_length=16, pipeline=[]
    )
    config.test_dataloader.dataset.pipeline = small("smoke_text").test_dataloader.dataset.pipeline
    stored = MetaTransformerInferencer(config, tmp_path / "ours.pth", device="cpu")
    (found,) = stored("a dull film")["predictions"]
    assert found.classes == ("bad", "good")
    np.testing.assert_allclose(found.scores, one("text", "a dull film").scores, rtol=1e-6)
    named = MetaTransformerInferencer(config, tmp_path / "ours.pth", device="cpu", classes=("no", "yes"))
    assert named("a dull film")["predictions"][0].name in ("no", "yes")
    with pytest.raises(UserError, match="the model has 2 classes"):
        MetaTransformerInferencer(config, tmp_path / "ours.pth", device="cpu", classes=("one",))
    with pytest.warns(UserWarning, match="no weights are given"):
        bare = MetaTransformerInferencer(config, device="cpu")
    with pytest.raises(UserError, match=r"the config's data set is needed: .*absent.tsv"):
        bare("a dull film")
    with pytest.warns(UserWarning, match="no weights"):
        told = MetaTransformerInferencer(config, device="cpu", dataset_meta=facts)
    assert told("a dull film")["predictions"][0].classes == ("bad", "good")
    with pytest.raises(CheckpointMismatchError, match=r"ours\.pth"):
        MetaTransformerInferencer(small("smoke_image"), tmp_path / "ours.pth", device="cpu")
    with pytest.raises(FileNotFoundError):
        MetaTransformerInferencer(config, tmp_path / "absent.pth", device="cpu")


def test_an_official_file_predicts_like_ours(tmp_path):
    config = small("meta-transformer_base_1xb64_indian-pines")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(config.model).eval()
    model.init_weights()
    torch.save(to_official(model.state_dict()), tmp_path / "official.pt")
    found = MetaTransformerInferencer(config, tmp_path / "official.pt", device="cpu")
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=0, atol=0)


def test_a_config_of_no_single_modality_is_refused():
    for name in ("meta-transformer_unified_joint_digits-imu",):
        with pytest.raises(UserError, match="MetaTransformerUnified is not for this inferencer"):
            MetaTransformerInferencer(small(name))


def test_pictures_come_from_files_folders_and_arrays_of_any_size(tmp_path):
    path = example("xray")[0]
    found = one("xray", path)
    grey = found.sample.raw["picture"]
    np.testing.assert_array_equal(one("xray", np.ascontiguousarray(grey[..., ::-1])).scores, found.scores)
    np.testing.assert_array_equal(one("xray", grey[..., 0]).scores, found.scores)
    large = np.repeat(np.repeat(grey, 2, 0), 2, 1)
    assert one("xray", large).inputs.shape == found.inputs.shape
    digit = one("image", np.uint8(np.rint((example("image")[0][0] + 1) * 127.5)))
    np.testing.assert_allclose(digit.scores, one("image", example("image")[0]).scores, atol=1e-3)
    with pytest.raises(UserError, match="uint8"):
        one("xray", grey.astype(float))
    with pytest.raises(UserError, match=r"image_1 is \(1, 3, 3\) in float32"):
        one("image", np.zeros((1, 3, 3), np.float32))
    with pytest.raises(FileNotFoundError):
        one("xray", tmp_path / "absent.png")
    with pytest.raises(UserError, match="holds no file that ends in"):
        one("xray", tmp_path)
    with pytest.raises(UserError, match="rate: no option of image"):
        one("xray", grey, rate=3)


def test_sound_is_resampled_and_averaged_and_that_is_said(tmp_path):
    path, _ = example("audio")
    rate, samples = wavfile.read(path)
    plain = one("audio", path)
    assert plain.repairs == ()
    array = samples.astype(np.float32) / 32768
    np.testing.assert_allclose(one("audio", array, rate=rate).scores, plain.scores, rtol=1e-6)
    stereo = one("audio", np.stack((array, array)), rate=rate)
    assert stereo.repairs == ("several channels: their mean is taken",)
    np.testing.assert_allclose(stereo.scores, plain.scores, rtol=1e-4)
    assert one("audio", array, rate=2 * rate).repairs[0].startswith(f"{2 * rate} samples a second")
    np.testing.assert_array_equal(one("audio", path, rate=rate).scores, plain.scores)
    with pytest.raises(UserError, match=rf"{rate} samples a second, rate={2 * rate} is for arrays"):
        one("audio", path, rate=2 * rate)
    for source, options, words in (
        (array, {}, "audio_1 is an array without its rate"),
        (np.zeros(0, np.float32), {"rate": rate}, "is empty"),
        (samples, {"rate": rate}, r"is \(1, .* in int16"),
        (np.full(9999, np.nan), {"rate": rate}, "not finite"),
    ):
        with pytest.raises((UserError, ValueError), match=words):
            one("audio", source, **options)


def test_frames_are_a_video_too():
    frames = np.stack(one("video", example("video")[0]).sample.raw["frames"])
    expected = one("video", example("video")[0]).scores
    np.testing.assert_allclose(one("video", frames).scores, expected, rtol=1e-6)
    assert one("video", frames[:, ::2, ::2]).inputs.shape == one("video", frames).inputs.shape
    short = one("video", frames[:2]).repairs
    assert len(short) == 1
    assert short[0].endswith(" frames repeated")
    with pytest.raises(UserError, match=r"Fix: frames \(T, H, W, 3\) in uint8"):
        one("video", frames[0])


def test_clouds_come_from_tables_of_numbers(tmp_path, monkeypatch):
    points = example("point-cloud")[0]
    expected = one("point-cloud", points).scores
    np.savetxt(tmp_path / "a.txt", points)
    np.savetxt(tmp_path / "b.xyz", points, delimiter=",")
    np.save(tmp_path / "c.npy", np.concatenate((points, points), 1))
    found = inferencer("point-cloud")(tmp_path)["predictions"]
    assert [prediction.sample.name for prediction in found] == ["a", "b", "c"]
    for prediction in found:
        np.testing.assert_allclose(prediction.scores, expected, rtol=1e-4)
    for other in (7 * points + 3, points / 100):
        with pytest.warns(UserWarning, match="does not fill the unit sphere"):
            scaled = one("point-cloud", other)
        assert np.linalg.norm(scaled.sample.results["points"], axis=1).max() == pytest.approx(1)
        assert scaled.repairs == ("centred and scaled to the unit sphere",)
    for source, words in (
        ([["a", "b", "c"]], "point-cloud_1 is no table of numbers"),
        (points[:, :2], "Fix: a row for each point"),
        (np.where(np.arange(len(points))[:, None] == 4, np.inf, points), "row 4: a value is not finite"),
        (points[:5], "5 points"),
    ):
        with pytest.raises((UserError, ValueError), match=words):
            one("point-cloud", [source])
    with pytest.raises(UserError, match="category=3: the model knows no kinds of objects"):
        one("point-cloud", points, category=3)
    pipeline = inferencer("point-cloud").reader.pipeline
    filled = SamplePoints(count=len(points) + 2, repeat=True)
    monkeypatch.setattr(pipeline, "transforms", [filled, *pipeline.transforms])
    assert one("point-cloud", points).repairs == ("2 points taken twice",)
    (tmp_path / "words.txt").write_text("no numbers\n")
    with pytest.raises(CloudError, match=r"words\.txt, line 1"):
        one("point-cloud", tmp_path / "words.txt")


def test_every_point_of_an_object_gets_a_class(tmp_path):
    with pytest.warns(UserWarning, match="no weights"):
        parts = MetaTransformerInferencer(small("meta-transformer_base_4xb8-300e_shapenetpart"), device="cpu")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        source, options = parts.reader.example(DATASETS.build(parts.reader.dataset), 0)
    (found,) = parts(source, **options)["predictions"]
    assert set(found.points) <= set(parts.model.parts[options["category"]])
    assert found.points.shape == (64,)
    np.savetxt(tmp_path / "object.txt", source)
    (again,) = parts(tmp_path / "object.txt", **options)["predictions"]
    np.testing.assert_array_equal(again.points, found.points)
    np.savetxt(tmp_path / "object.txt", source[:, :3])
    with pytest.raises(CloudError, match="6 numbers in all"):
        parts(tmp_path / "object.txt", **options)
    with pytest.raises(UserError, match="category=None: the model needs the kind of object, 0 to 15"):
        parts(source)
    with pytest.raises(UserError, match="reads colours or normals"):
        parts(source[:, :3], **options)


def test_graphs_are_edges_and_nodes_or_files(tmp_path):
    info = example("graph")[0]
    expected = one("graph", info).scores
    once = info["edge_index"].T[info["edge_index"][0] < info["edge_index"][1]]
    nodes = info["node_features"][:, 0]
    for source in ({"edges": once, "nodes": nodes}, (once, nodes)):
        np.testing.assert_allclose(one("graph", source).scores, expected, rtol=1e-4)
    lines = [
        f"{node} {len(near)} {' '.join(map(str, near))}"
        for node, near in ((nodes[at], info["edge_index"][1][info["edge_index"][0] == at]) for at in range(len(nodes)))
    ]
    (tmp_path / "graphs.txt").write_text("\n".join(["1", f"{len(nodes)} 0", *lines]) + "\n")
    found = one("graph", tmp_path / "graphs.txt")
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
    assert found.sample.name == "graphs_0"
    pairs = once.T.tolist()
    for edges, words in (
        (pairs, rf"edges \(2, {len(once)}\)\. Fix: .* edges \(E, 2\)"),
        ([(0, 1, 2)], r"edges \(1, 3\)"),
        ([0, 1], r"edges \(2,\)"),
        ([(0, 1), (2,)], "no arrays"),
    ):
        with pytest.raises(UserError, match=words):
            one("graph", {"edges": edges, "nodes": nodes})
    with pytest.raises(UserError, match="graph_1 has no nodes"):
        one("graph", {"edges": [], "nodes": []})
    with pytest.raises(GraphError, match="nodes are numbered from 0 to 1"):
        one("graph", {"edges": [(0, 2)], "nodes": [0, 0]})
    with pytest.raises(UserError, match="whole numbers"):
        one("graph", {"edges": [(0, 1)], "nodes": [0.5, 0]})
    with pytest.raises(UserError, match=r"Fix: dict\(edges"):
        one("graph", {"nodes": [0]})
    assert one("graph", {"edges": [], "nodes": [1]}).scores.shape == (2,)


def test_damaged_graphs_of_a_file_are_left_out_where_those_of_the_data_set_are(tmp_path, monkeypatch):
    damaged, whole = ["2 0", "0 1 5", "0 1 0"], ["2 1", "0 1 1", "0 1 0"]
    (tmp_path / "some.txt").write_text("\n".join(["3", *whole, *damaged, *whole]))
    (tmp_path / "none.txt").write_text("\n".join(["1", *damaged]))
    reader = inferencer("graph").reader
    monkeypatch.setattr(reader, "drop", False)
    with pytest.raises(GraphError, match="graph 1: edge 0 goes from node 0 to node 5"):
        inferencer("graph")(tmp_path / "some.txt")
    monkeypatch.undo()
    config = load_config(papers.find_config("meta_transformer", "smoke_graph"))
    config.test_dataloader.dataset.faults = "drop"
    monkeypatch.setattr(reader, "drop", reader_of(config, Facts({}, dict)).drop)
    with pytest.warns(UserWarning, match=r"some\.txt: 1 damaged graphs are left out, the first: .*graph 1"):
        found = inferencer("graph")(tmp_path / "some.txt")["predictions"]
    assert [prediction.sample.name for prediction in found] == ["some_0", "some_2"]
    with pytest.raises(GraphError, match="graph 0: edge 0"):
        inferencer("graph")(tmp_path / "none.txt")


def test_a_molecules_text_may_be_longer_than_a_files_name():
    smiles, molecules = "C" * 300, reader_of(small("meta-transformer_base_pcqm4mv2"), Facts({}, dict))
    assert molecules.sources(smiles) == molecules.sources([smiles]) == [smiles]
    with pytest.raises(FileNotFoundError, match="CCC: no such file"):
        one("graph", smiles)


def test_texts_are_strings_or_lines_and_too_long_ones_are_cut_and_counted(tmp_path):
    text = example("text")[0]
    (tmp_path / "texts.txt").write_text(f"{text}\n\n{text}\n")
    found = inferencer("text")(tmp_path / "texts.txt")["predictions"]
    assert [prediction.sample.name for prediction in found] == ["text_1", "text_2"]
    np.testing.assert_array_equal(found[0].scores, one("text", text).scores)
    with pytest.warns(UserWarning, match=r"pieces beyond the context of 16 are cut off"):
        cut = one("text", "the film " * 20)
    assert (len(cut.sample.results["ids"]), cut.repairs) == (16, ("24 pieces cut off",))
    (tmp_path / "more.txt").write_text("dull\n")
    both = inferencer("text")(tmp_path)["predictions"]
    assert [prediction.sample.raw["text"] for prediction in both] == ["dull", text, text]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    for source, words in (
        (tmp_path / "empty", r"empty holds no file that ends in \.txt"),
        (tmp_path / "empty.txt", r"empty\.txt holds no text sample"),
        (tmp_path / "latin.txt", r"latin\.txt"),
        ([], "no text sample in an empty list"),
    ):
        for predict in (inferencer("text"), inferencer("text").encodings):
            with pytest.raises(UserError, match=words):
                predict(source)
    with pytest.raises(TextError, match="a text is empty"):
        one("text", " ")
    with pytest.raises(UserError, match="Fix: a string"):
        one("text", ("two", "texts"))


def test_rows_come_from_tables_and_unknown_cells_are_counted(tmp_path):
    row = example("tabular")[0]
    frame = pd.DataFrame([row, row])
    expected = one("tabular", row).scores
    found = inferencer("tabular")(frame)["predictions"]
    assert [prediction.sample.name for prediction in found] == ["tabular_1_0", "tabular_1_1"]
    np.testing.assert_array_equal(found[1].scores, expected)
    frame.assign(further=1).to_csv(tmp_path / "rows.csv", index=False)
    names = [*frame, "further"]
    from_file = inferencer("tabular")(tmp_path / "rows.csv", names=names)["predictions"]
    np.testing.assert_array_equal(from_file[0].scores, expected)
    with pytest.warns(TableWarning, match="values that the training rows do not hold get code 0: 'workclass' 1"):
        unseen = one("tabular", row | {"workclass": "astronaut"})
    assert unseen.sample.results["codes"][list(row).index("workclass")] == 0
    assert unseen.repairs == ("workclass unseen in training",)
    with pytest.warns(TableWarning, match="lack a value and keep their place"):
        missing = one("tabular", row | {"fnlwgt": "?"})
    assert missing.sample.results["values"].tolist() == [0.0]
    assert missing.repairs == ("fnlwgt missing",)
    with pytest.raises(TableError, match="has age twice"):
        one("tabular", pd.DataFrame([[*row.values(), 3]], columns=[*row, "AGE"]))
    with pytest.raises(UserError, match="tabular_1 holds no tabular sample"):
        inferencer("tabular").encodings(frame[:0])
    with pytest.raises(TableError, match="has no column race"):
        one("tabular", {name: cell for name, cell in row.items() if name != "race"})
    with pytest.raises(TableError, match="'fnlwgt' is 'many', no finite number"):
        one("tabular", row | {"fnlwgt": "many"})


def test_columns_of_frames_and_dicts_are_found_whatever_their_case():
    row = example("tabular")[0]
    other = {f" {name.upper()} ": cell.upper() for name, cell in row.items()}
    for source in (other, pd.DataFrame([other])):
        found = one("tabular", source)
        assert (found.repairs, found.sample.raw["cells"]) == ((), row)


def test_whole_numbers_of_a_column_with_a_gap_stay_the_categories_that_they_are():
    row = example("tabular")[0]
    expected = one("tabular", row).scores
    frame = pd.DataFrame([row | {"age": int(row["age"])}, row | {"age": None}])
    assert frame["age"].dtype == float
    with pytest.warns(TableWarning, match="1 of 2 rows lack a value and keep their place as unseen ones: 'age' 1"):
        found = inferencer("tabular")(frame)["predictions"]
    np.testing.assert_array_equal(found[0].scores, expected)
    assert [prediction.repairs for prediction in found] == [(), ("age missing",)]
    for age in (float(row["age"]), np.float64(row["age"]), int(row["age"]), np.int64(row["age"])):
        np.testing.assert_array_equal(one("tabular", row | {"age": age}).scores, expected)
    with pytest.warns(TableWarning, match="'age' 1"):
        assert one("tabular", row | {"age": float(row["age"]) + 0.5}).repairs == ("age unseen in training",)


def test_a_scene_is_classified_pixel_by_pixel(tmp_path, monkeypatch):
    data = dataset("hyperspectral")
    found = one("hyperspectral", data.ann_file)
    scene = found.sample.raw["scene"]
    assert found.land_cover.shape == scene.shape[:2]
    some = [(0, 0), (3, 5), (15, 15)]
    for at in some:
        assert one("hyperspectral", scene[at]).label == found.land_cover[at]
    both = inferencer("hyperspectral")([scene[0, 0], scene], batch_size=2)["predictions"]
    assert both[0].label == found.land_cover[0, 0]
    np.testing.assert_array_equal(both[1].land_cover, found.land_cover)
    spectra = inferencer("hyperspectral")(scene[0, :3])["predictions"]
    assert [one.label for one in spectra] == found.land_cover[0, :3].tolist()
    np.testing.assert_array_equal(one("hyperspectral", scene).land_cover, found.land_cover)
    savemat(tmp_path / "own.mat", {"cube": scene})
    np.testing.assert_array_equal(one("hyperspectral", tmp_path / "own.mat", key="cube").land_cover, found.land_cover)
    with pytest.raises(SceneError, match=r"has no input; it has cube\. Fix: key="):
        one("hyperspectral", tmp_path / "own.mat")
    monkeypatch.setattr(inferencer("hyperspectral").reader, "keys", ("cube",))
    np.testing.assert_array_equal(one("hyperspectral", tmp_path / "own.mat").land_cover, found.land_cover)
    for source in (scene, [scene[0, 0], scene]):
        with pytest.raises(UserError, match=r"is a scene, .* Fix: spectra \(N, bands\)"):
            inferencer("hyperspectral").encodings(source)
    with pytest.raises(UserError, match="rate: no option of hyperspectral"):
        inferencer("hyperspectral").encodings(scene[0, 0], rate=3)
    with pytest.raises(UserError, match="has 11 bands, the model reads 12"):
        one("hyperspectral", scene[..., :11])
    with pytest.raises(UserError, match="not finite"):
        one("hyperspectral", np.full(12, np.nan))
    with pytest.raises(UserError, match="Fix: a scene"):
        one("hyperspectral", np.array("words"))
    with pytest.warns(SceneWarning, match="one value only"):
        flat = one("hyperspectral", np.ones((2, 2, 12)))
    assert flat.repairs == ("12 bands of one value set to 0",)


def test_windows_are_scaled_as_the_training_was(tmp_path):
    window = example("imu")[0]
    expected = one("imu", window)
    channels = expected.sample.raw["channels"]
    pd.DataFrame(window, columns=channels)[channels[::-1]].to_csv(tmp_path / "window.csv", index=False)
    np.save(tmp_path / "windows.npy", np.stack((window, window)))
    found = inferencer("imu")(tmp_path)["predictions"]
    assert [prediction.sample.name for prediction in found] == ["window", "windows_0", "windows_1"]
    for prediction in found:
        np.testing.assert_allclose(prediction.scores, expected.scores, rtol=1e-4)
    scaled = expected.sample.results["series"]
    np.testing.assert_allclose(one("imu", scaled, standardised=True).scores, expected.scores, rtol=1e-5)
    for source, words in (
        (window[:, :5], r"Fix: windows \(T, 6\) of at most 128 steps"),
        (np.concatenate((window, window)), "of at most 128 steps"),
        (np.where(window == window.max(), np.nan, window), "not finite"),
        (pd.DataFrame(window[:, :1], columns=["x"]), "has no column total_acc_x"),
    ):
        with pytest.raises(UserError, match=words):
            one("imu", source)


def test_numbers_that_stand_for_a_missing_measurement_are_filled_as_in_training():
    table, options = example("time-series")
    gaps, filled = table.copy(), table.copy()
    gaps.iloc[4, 1], filled.iloc[4, 1] = -9999.0, filled.iloc[3, 1]
    reader = inferencer("time-series").reader
    reader.facts.stored["missing_values"] = [-9999.0]
    try:
        with pytest.warns(UserWarning, match="1 cells hold one of"):
            found = one("time-series", gaps, **options)
    finally:
        del reader.facts.stored["missing_values"]
    assert found.repairs == ("1 missing values filled",)
    unharmed = one("time-series", filled, **options)
    assert unharmed.repairs == ()
    pd.testing.assert_frame_equal(found.forecast, unharmed.forecast)


def test_series_without_dates_or_rows_are_refused():
    table, _ = example("time-series")
    for source, options, words in (
        (table.iloc[:20], {}, "20 rows come before the forecast, but the model reads seq_len=24"),
        (table, {"start": 500}, "start=500 lies outside"),
        (table, {"start": "tomorrow"}, "is neither a row nor a date"),
        (table, {"freq": "zz"}, "freq='zz' is no step of dates. Fix: such as '15min'"),
        (
            table.rename_axis("date").reset_index(),
            {"date_column": "zz"},
            "time-series_1 has no column zz; it has date, ",
        ),
        (table.iloc[:, :-1], {}, "has no column"),
        (table.to_numpy(), {}, "trained with time features, but the array has no dates"),
        (table.to_numpy()[:, :2], {}, r"Fix: an array \(T, 5\)"),
        (table.to_numpy() * np.nan, {}, "missing or infinite values"),
    ):
        with pytest.raises((UserError, ValueError), match=words):
            one("time-series", source, **options)


def test_two_samples_of_one_name_have_a_drawing_each(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(visualization, "write_drawings", lambda _, folder, name: drawn.append(name) or [folder / name])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savetxt(tmp_path / folder / "cloud.txt", example("point-cloud")[0])
    clouds = [tmp_path / folder / "cloud.txt" for folder in ("a", "b")]
    files = inferencer("point-cloud")(clouds, out_dir=tmp_path)["visualization"]
    assert drawn == ["cloud", "cloud_2"]
    assert files == [[tmp_path / "cloud"], [tmp_path / "cloud_2"]]
