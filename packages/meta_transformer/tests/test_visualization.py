"""Drawings: values of tokens where the tokens come from, every modality with one figure, and the page of all."""

import importlib.util
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image

from mm_meta_transformer import MetaTransformerInferencer, gallery, quickstart
from mm_meta_transformer.inferencer import MODALITIES
from mm_meta_transformer.prediction import MetaPrediction, TokenLayout
from mm_meta_transformer.readers import Sample
from mm_meta_transformer.visualization import drawings
from mm_meta_transformer.visualization.curves import SceneView
from mm_meta_transformer.visualization.encodings import draw_encodings, principal_plane
from mm_meta_transformer.visualization.graphs import GraphView, layout
from mm_meta_transformer.visualization.grids import ClipView, PictureView
from mm_meta_transformer.visualization.words import TextView
from mmrepro import papers
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny

TOOL = Path(__file__).parents[1] / "tools/gallery.py"


def small(modality):
    config = tiny(load_config(papers.find_config("meta_transformer", f"smoke_{modality}")))
    config.pop("tiny")
    return config


@cache
def predicted(modality):
    """Return a prediction by random weights with everything that can be drawn."""
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope("mmpretrain"):
        warnings.simplefilter("ignore", UserWarning)
        dataset = DATASETS.build(small(modality).test_dataloader.dataset)
        inferencer = MetaTransformerInferencer(small(modality), device="cpu", dataset_meta=dataset.metainfo)
        source, options = inferencer.reader.example(dataset, 0)
        (found,) = inferencer([source], with_tokens=True, with_attention=True, **options)["predictions"]
    return found


def axis():
    return Figure().subplots()


def prediction(raw, **settings):
    return MetaPrediction("some", Sample("one", {}, raw), **settings)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_has_a_view_of_four_panels(modality):
    found = predicted(modality)
    view = next(kind for name, kind in drawings.VIEWS.items() if name in found.sample.raw)(found)
    figure = Figure()
    axes = [figure.add_subplot(1, 4, place, projection=view.projection) for place in (1, 2, 3)]
    for draw, on in zip(
        (view.sample, lambda on: view.heat(on, found.token_norms), lambda on: view.heat(on, found.token_attention)),
        axes,
        strict=True,
    ):
        draw(on)
        assert on.has_data() or on.texts or on.patches
    view.result(figure.add_subplot(1, 4, 4))
    assert figure.axes[3].has_data()


def test_a_drawing_is_a_png_with_as_many_panels_as_there_are_to_draw(tmp_path, monkeypatch):
    raw = {"spectrum": np.arange(4.0)}
    full = prediction(
        raw,
        tokens=np.eye(5),
        attention=np.full((2, 5), 0.2),
        layout=TokenLayout(1),
        scores=np.ones(1),
        classes=("only",),
        label=0,
        name="only",
        score=1.0,
    )
    titles = []
    monkeypatch.setattr(
        drawings, "write_figure", lambda figure, path: titles.append([axis.get_title() for axis in figure.axes]) or path
    )
    drawings.draw_prediction(full, tmp_path / "a.png", truth="another")
    drawings.draw_prediction(prediction(raw, value=1.5), tmp_path / "b.png")
    assert titles == [["sample", "tokens: norms", "attention", "only (1.00); true: another"], ["sample", "prediction"]]
    monkeypatch.undo()
    with Image.open(drawings.draw_prediction(prediction(raw, value=1.5), tmp_path / "c.png")) as picture:
        assert picture.width > picture.height


def test_values_stand_where_the_patches_are():
    inputs = torch.zeros(3, 4, 6, dtype=torch.uint8)
    inputs[0, 0] = 200  # blue, at the top
    picture = prediction({"picture": np.zeros((9, 9, 3), np.uint8)}, inputs=inputs, layout=TokenLayout(1, (2, 3)))
    on = axis()
    PictureView(picture).heat(on, np.arange(6.0))
    below, above = on.images
    np.testing.assert_array_equal(above.get_array(), [[0, 1, 2], [3, 4, 5]])
    assert below.get_extent() == above.get_extent()
    assert below.get_array()[0, 0].tolist() == [0, 0, 200]
    clip = prediction(
        {"frames": []}, inputs=torch.zeros(3, 4, 2, 2, dtype=torch.uint8), layout=TokenLayout(0, (2, 1, 1))
    )
    on = axis()
    ClipView(clip).heat(on, np.array([1.0, 2.0]))
    assert on.images[1].get_array().tolist() == [[1, 2]]
    assert on.images[0].get_array().shape == (2, 4, 3)


def test_a_graph_lies_so_that_neighbours_are_near_and_its_tokens_colour_it():
    path = np.array([(at, at + 1) for at in range(4)])
    ends = np.concatenate((path, path[:, ::-1]))
    places = layout(ends, 5)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.testing.assert_allclose(distances, np.abs(np.subtract.outer(range(5), range(5))), atol=0.05)
    assert np.isfinite(layout(ends, 6)).all()  # the last node has no edge
    assert layout(np.zeros((0, 2), int), 1).shape == (1, 2)
    pairs = np.concatenate((np.stack((np.arange(5),) * 2, 1), ends))
    raw = {"edges": ends, "nodes": np.zeros(5, int), "count": 5}
    on = axis()
    GraphView(prediction(raw, layout=TokenLayout(2, pairs=pairs))).heat(on, np.arange(13.0))
    lines, points = on.collections
    assert points.get_array().tolist() == [0, 1, 2, 3, 4]
    assert len(lines.get_segments()) == 8


def test_pieces_of_a_text_are_written_until_the_axes_are_full():
    pieces = [f"piece{number}" for number in range(200)]
    on = axis()
    TextView(prediction({"text": " ".join(pieces), "pieces": pieces})).heat(on, np.arange(200.0))
    written = [text.get_text() for text in on.texts]
    assert 20 < len(written) < 100
    assert written == pieces[: len(written)]


def test_a_land_cover_map_names_its_classes():
    found = prediction(
        {"scene": np.random.default_rng(0).random((3, 4, 8))},
        land_cover=np.array([[0, 2], [2, 2]]),
        classes=("water", "sand", "wood"),
    )
    on = axis()
    SceneView(found).sample(on)
    SceneView(found).result(on)
    assert [text.get_text() for text in on.get_legend().get_texts()] == ["water", "wood"]
    with pytest.raises(ValueError, match="pixel by pixel"):
        SceneView(found).heat(on, np.ones(3))


def test_what_was_not_asked_for_is_an_error():
    with pytest.raises(ValueError, match="with_tokens=True"):
        _ = prediction({}).token_norms
    with pytest.raises(ValueError, match="with_attention=True"):
        _ = prediction({}).token_attention


def test_the_plane_holds_the_most_variance(tmp_path):
    random = np.random.default_rng(0)
    flat = random.standard_normal((40, 2)) @ random.standard_normal((2, 6)) * 0.01 + np.eye(6)[0]
    places, shares = principal_plane(flat)
    assert shares.sum() > 0.99
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(places[0] - places[1]), np.linalg.norm(unit[0] - unit[1]), rtol=0.02)
    with pytest.raises(ValueError, match="several widths"):
        draw_encodings({"a": np.ones((2, 3)), "b": np.ones((2, 4))}, tmp_path / "a.png")


def test_an_exhibit_says_where_its_weights_are_from_and_why_it_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "draw_prediction", lambda _, path, truth=None: (path, truth))
    found = gallery.exhibit("hyperspectral", small("hyperspectral"), None, tmp_path, shown=1, encoded=2)
    assert (found.weights, found.fault, found.encodings.shape) == ("random", "", (2, 16))
    (first, truth), (scene, _) = found.pictures
    assert (first.name, truth, scene.name) == ("0.png", "1", "scene.png")
    absent = small("graph")
    absent.test_dataloader.dataset = dict(type="GINTextDataset", ann_file="absent.txt", pipeline=[])
    empty = gallery.exhibit("graph", absent, None, tmp_path)
    assert (empty.pictures, empty.encodings) == ([], None)
    assert "absent.txt" in empty.fault


def test_the_page_shows_every_exhibit(tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    Image.new("RGB", (2, 2)).save(picture)

    def exhibit(modality, config, checkpoint, folder):
        state = "random" if checkpoint is None else f"of {checkpoint.name}"
        encodings = np.random.default_rng(len(modality)).standard_normal((3, 4))
        fault = "<no data>" if modality == "text" else ""
        return gallery.Exhibit(modality, f"smoke_{modality}", "data", state, [picture], encodings, fault)

    monkeypatch.setattr(gallery, "exhibit", exhibit)
    folder = tmp_path / "meta_transformer/smoke/smoke_image"
    folder.mkdir(parents=True)
    (folder / "epoch_3.pth").touch()
    (folder / "last_checkpoint").write_text(str(folder / "epoch_3.pth"))
    said = []
    page = gallery.write_gallery(tmp_path, modalities=["image", "text"], say=said.append)
    assert page == tmp_path / "meta_transformer/gallery.html"
    html = page.read_text(encoding="utf-8")
    assert [one.modality for one in said] == ["image", "text"]
    assert "Weights: of epoch_3.pth." in html
    assert "&lt;no data&gt;" in html
    assert html.count("data:image/png;base64,") == 3  # one each, and the plane
    with pytest.raises(UserError, match="smell is no modality"):
        gallery.write_gallery(tmp_path, modalities=["smell"])


def test_the_tool_hands_on_its_options(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("meta_gallery_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    calls = []

    def write(work_dir, out, modalities, say):
        calls.append((work_dir, out, tuple(modalities)))
        say(gallery.Exhibit("image", "smoke_image", weights="random"))
        return out

    monkeypatch.setattr(gallery, "write_gallery", write)
    tool.main(["--work-dir", str(tmp_path), "--out", "page.html", "--modalities", "image", "text"])
    tool.main([])
    assert calls[0] == (tmp_path, Path("page.html"), ("image", "text"))
    assert calls[1] == (Path("work_dirs"), None, MODALITIES)
    assert capsys.readouterr().out.startswith("image: weights random\npage.html\n")


def test_the_quickstart_draws_digits(tmp_path, monkeypatch):
    config = small("image")
    file = tmp_path / "config.py"
    config.dump(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = MetaTransformerInferencer(config, device="cpu").model
    torch.save({"state_dict": model.state_dict()}, tmp_path / "best.pth")
    monkeypatch.setattr(quickstart, "draw_prediction", lambda found, path, truth: (path.name, found.modality, truth))
    files = quickstart.draw(file, tmp_path / "best.pth", tmp_path)
    assert [(name, modality) for name, modality, _ in files] == [(f"digit_{at}.png", "image") for at in (1, 2, 3)]
    assert {truth for *_, truth in files} <= set("0123456789")
