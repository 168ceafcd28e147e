"""The inferencers: what goes in, what comes out, and what is said where it cannot."""

import copy
import json
import re
import weakref

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mm_vit_comer.inferencer import ViTCoMerDetInferencer, ViTCoMerSegInferencer
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.datasets.generated.coco_shapes import PICTURES, coco_folder
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny

SEGMENTATION = "vit-comer_c64_upernet_1xb4-400_shapes"
DETECTION = "mask-rcnn_vit-comer-s_dinov2_fpn_8xb2-amp-1x_coco"
COUNT = 3


def small(name):
    return tiny(load_config(papers.find_config("vit_comer", name)))


def weights_of(config: Config, path, meta=None):
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config.model))
    model.init_weights()
    if "roi_head" in config.model:
        with torch.no_grad():
            model.roi_head.bbox_head.fc_cls.weight.normal_(std=1.0)  # scores that differ
    torch.save({"state_dict": model.state_dict(), "meta": meta or {}}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {name: weights_of(small(name), folder / f"{name}.pth") for name in (SEGMENTATION, DETECTION)}


@pytest.fixture(scope="module")
def segmenter(weights):
    return ViTCoMerSegInferencer(small(SEGMENTATION), weights[SEGMENTATION], device="cpu")


@pytest.fixture(scope="module")
def detector(weights):
    return ViTCoMerDetInferencer(small(DETECTION), weights[DETECTION], device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return coco_folder(count=COUNT, size=64) / PICTURES


def first(pictures):
    return sorted(pictures.iterdir())[0]


def test_a_file_a_folder_an_array_and_a_list_are_segmented(segmenter, pictures):
    one = first(pictures)
    (labels,) = segmenter(one)["predictions"]
    assert labels.shape == Image.open(one).size[::-1]
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert len(segmenter(pictures)["predictions"]) == COUNT
    array = np.asarray(Image.open(one))[..., ::-1]
    for again in segmenter([array, str(one)])["predictions"]:
        np.testing.assert_array_equal(again, labels)


def test_segmentations_are_drawn_with_a_legend_and_written(segmenter, pictures, tmp_path):
    found = segmenter(pictures, out_dir=tmp_path, return_vis=True)
    for number, path in enumerate(sorted(pictures.iterdir())):
        labels = np.asarray(Image.open(tmp_path / "preds" / path.name))
        np.testing.assert_array_equal(labels, found["predictions"][number])
        drawn = np.asarray(Image.open(tmp_path / "vis" / path.name))
        np.testing.assert_array_equal(drawn, found["visualization"][number])
        assert drawn.shape[1] > labels.shape[1]  # the legend
    segmenter([np.zeros((40, 50, 3), np.uint8)] * 2, out_dir=tmp_path / "arrays")
    assert len(list((tmp_path / "arrays" / "vis").iterdir())) == 2


def test_neighbours_of_one_size_are_segmented_together(segmenter, monkeypatch):
    draw = np.random.Generator(np.random.PCG64(0))
    pictures = [draw.integers(0, 256, (*size, 3), np.uint8) for size in ((64, 64), (64, 64), (96, 64), (64, 64))]
    alone = segmenter(pictures)["predictions"]
    counts, forward = [], segmenter.forward
    monkeypatch.setattr(segmenter, "forward", lambda data: counts.append(len(data["inputs"])) or forward(data))
    together = segmenter(pictures, batch_size=2)["predictions"]
    assert counts == [2, 1, 1]
    for first_one, second_one in zip(alone, together, strict=True):
        assert first_one.shape == second_one.shape
        assert (first_one == second_one).mean() > 0.99  # sums of a batch may be rounded otherwise


def test_a_batch_is_given_up_before_the_next(segmenter, pictures, monkeypatch):
    earlier, forward = [], segmenter.forward

    def noted(data):
        assert not any(one() for one in earlier)
        found = forward(data)
        earlier.extend(map(weakref.ref, found))
        return found

    monkeypatch.setattr(segmenter, "forward", noted)
    segmenter(pictures)
    assert len(earlier) == COUNT


def test_pictures_before_a_damaged_one_are_written(segmenter, pictures, tmp_path):
    one, damaged = first(pictures), tmp_path / "damaged.png"
    content = one.read_bytes()
    damaged.write_bytes(content[:50] + bytes(200) + content[-30:])
    with pytest.raises(UserError, match=r"damaged\.png cannot be read"):
        segmenter([one, damaged], out_dir=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "preds").iterdir()] == [one.name]


def test_label_maps_of_many_classes_keep_their_values(segmenter, tmp_path, monkeypatch):
    picture = np.zeros((32, 32, 3), np.uint8)
    labels = np.full((32, 32), 299)
    monkeypatch.setattr(segmenter, "_labels", lambda *given: iter([labels]))
    monkeypatch.setattr(segmenter.model.decode_head, "num_classes", 300)
    segmenter(picture, out_dir=tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "preds" / "00000000.png")), labels)


def test_progress_is_shown_where_it_is_asked_for(segmenter, pictures, monkeypatch, capsys):
    segmenter(first(pictures))
    assert "segmenting" not in capsys.readouterr().out
    monkeypatch.setattr(segmenter, "show_progress", True)
    segmenter(first(pictures))
    assert "segmenting" in capsys.readouterr().out


def test_opacity_is_of_the_labels_colours(segmenter):
    black = np.zeros((32, 32, 3), np.uint8)
    (plain,), (full,) = (segmenter(black, return_vis=True, opacity=one)["visualization"] for one in (0, 1))
    assert not plain[:32, :32].any()
    (labels,) = segmenter(black)["predictions"]
    assert full[5, 5].tolist() == list(segmenter.model.dataset_meta["palette"][labels[5, 5]])


def test_detections_with_masks(detector, pictures, tmp_path):
    found = detector(pictures, out_dir=tmp_path, no_save_pred=False, pred_score_thr=0.0)["predictions"]
    assert len(found) == COUNT
    for one in found:
        assert len(one["bboxes"]) == len(one["scores"]) == len(one["labels"]) == len(one["masks"]) > 0
        assert one["scores"] == sorted(one["scores"], reverse=True)
    names = sorted(path.name for path in pictures.iterdir())
    assert sorted(path.name for path in (tmp_path / "vis").iterdir()) == names
    stored = json.loads((tmp_path / "preds" / names[0]).with_suffix(".json").read_text())
    assert set(stored) == {"labels", "scores", "bboxes", "masks"}


def test_drawings_of_detections_have_the_pictures_colours(detector, tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 255  # blue first
    Image.fromarray(red[..., ::-1]).save(tmp_path / "red.png")
    drawn = detector([red, red, tmp_path / "red.png"], return_vis=True, pred_score_thr=1.1)["visualization"]
    assert [one[5, 5].tolist() for one in drawn] == [[255, 0, 0]] * 3
    detector([red, red], batch_size=1, out_dir=tmp_path / "out", pred_score_thr=1.1)
    assert len(list((tmp_path / "out" / "vis").iterdir())) == 2


@pytest.mark.parametrize(("mode", "name"), [("L", "a.png"), ("CMYK", "a.jpg"), ("RGBA", "a.png"), ("P", "a.png")])
def test_every_kind_of_picture_is_seen(segmenter, detector, tmp_path, mode, name):
    Image.new("RGB", (50, 40), "orange").convert(mode).save(tmp_path / name)
    assert segmenter(tmp_path / name, out_dir=tmp_path / "s")["predictions"][0].shape == (40, 50)
    assert len(detector(tmp_path / name, out_dir=tmp_path / "d")["predictions"]) == 1


def test_a_turned_photograph_is_seen_upright(segmenter, detector, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: viewers rotate by 90 degrees
    Image.new("RGB", (64, 48)).save(tmp_path / "turned.jpg", exif=exif)
    assert segmenter(tmp_path / "turned.jpg", out_dir=tmp_path)["predictions"][0].shape == (64, 48)
    (found,) = detector(tmp_path / "turned.jpg", return_datasamples=True)["predictions"]
    assert found.ori_shape == (64, 48)


def test_what_the_interactions_do_is_drawn(segmenter, detector, pictures, tmp_path, monkeypatch):
    trace, files = segmenter.explain(first(pictures), tmp_path, place=(10, 20), interaction=1, stage="to_v")
    assert [path.stem.rsplit("_")[-1] for path in files] == ["features", "interactions", "samples"]
    assert all(path.is_file() for path in files)
    assert trace.size == Image.open(first(pictures)).size[::-1]
    monkeypatch.setattr("mm_vit_comer.inferencer.draw_interactions", lambda *given: given[-1])  # the slowest
    trace, files = detector.explain(first(pictures), tmp_path / "detector")
    assert files[0].is_file()
    assert len(trace.before) == 4
    with pytest.raises(UserError, match="these are 3 pictures"):
        segmenter.explain(pictures, tmp_path)
    with pytest.raises(IndexError, match=r"is not in the image"):
        segmenter.explain(first(pictures), tmp_path, place=(1000, 0))


def test_a_picture_wider_than_beits_tables_is_explained_smaller(tmp_path, monkeypatch):
    for name in ("draw_feature_maps", "draw_interactions", "draw_samples"):  # slow
        monkeypatch.setattr(f"mm_vit_comer.inferencer.{name}", lambda *given: given[-1])
    config = small(SEGMENTATION)
    beit = dict(trunk="beit", pretrain_size=None, img_size=64, window_attn=[True, False] * 2, window_size=2)
    config.model.backbone.update(beit)
    segmenter = ViTCoMerSegInferencer(config, weights_of(config, tmp_path / "beit.pth"), device="cpu")
    for size, seen in (((64, 160), (25, 64)), ((64, 64), (64, 64))):
        assert segmenter.explain(np.zeros((*size, 3), np.uint8), tmp_path)[0].size == seen


def test_class_names_come_from_the_caller_the_file_or_the_data(segmenter, weights, tmp_path):
    assert segmenter.model.dataset_meta["classes"] == ("ground", "disc", "square", "triangle")
    config = small(SEGMENTATION)
    meta = dict(dataset_meta=dict(classes=("a", "b", "c", "d"), palette=[[1, 2, 3]] * 4))
    stored = weights_of(config, tmp_path / "named.pth", meta)
    named = ViTCoMerSegInferencer(config, stored, device="cpu").model.dataset_meta
    assert (named["classes"], named["palette"][0]) == (("a", "b", "c", "d"), [1, 2, 3])
    given = ViTCoMerSegInferencer(config, stored, device="cpu", classes=("x", "y")).model.dataset_meta["classes"]
    assert given == ("x", "y", "class 2", "class 3")
    with pytest.raises(UserError, match="there are 5 class names and 4 classes"):
        ViTCoMerSegInferencer(config, weights[SEGMENTATION], device="cpu", classes=tuple("abcde"))
    with pytest.raises(UserError, match="classes='cat' is one text"):
        ViTCoMerSegInferencer(config, weights[SEGMENTATION], classes="cat")


def test_weights_of_another_network_are_refused(weights, tmp_path):
    with pytest.raises(CheckpointMismatchError, match=re.escape(DETECTION)):
        ViTCoMerSegInferencer(small(SEGMENTATION), weights[DETECTION], device="cpu")
    wider = small(SEGMENTATION)
    wider.model.decode_head.num_classes = wider.model.auxiliary_head.num_classes = 9
    with pytest.raises(CheckpointMismatchError, match=r"decode_head\.num_classes: 4 in the file, 9 in the config"):
        ViTCoMerSegInferencer(wider, weights[SEGMENTATION], device="cpu")
    state = torch.load(weights[SEGMENTATION], weights_only=True)
    del state["state_dict"]["backbone.level_embed"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(CheckpointMismatchError, match=r"part\.pth(.|\n)*backbone\.level_embed"):
        ViTCoMerSegInferencer(small(SEGMENTATION), tmp_path / "part.pth", device="cpu")


def test_configs_of_others_are_refused(weights, tmp_path):
    with pytest.raises(UserError, match="a network without weights sees nothing"):
        ViTCoMerSegInferencer(small(SEGMENTATION))
    with pytest.raises(UserError, match=r"is not for detection. Fix: use the other inferencer"):
        ViTCoMerDetInferencer(small(SEGMENTATION), weights[SEGMENTATION])
    with pytest.raises(FileNotFoundError, match="nor a config of vit_comer"):
        ViTCoMerSegInferencer("vit-comer_of_nobody", weights[SEGMENTATION])
    other = tmp_path / "other.py"
    other.write_text("custom_imports = dict(imports=['mm_unheard_of'], allow_failed_imports=False)\n")
    with pytest.raises(UserError, match=r"other\.py is not for this package"):
        ViTCoMerSegInferencer(other, weights[SEGMENTATION])


def test_bad_pictures_are_named(segmenter, detector, pictures, tmp_path):
    one = first(pictures)
    damaged = tmp_path / "damaged.png"
    content = one.read_bytes()
    damaged.write_bytes(content[:50] + bytes(200) + content[-30:])
    for inferencer in (segmenter, detector):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            inferencer(tmp_path / "nowhere.jpg")
        with pytest.raises(UserError, match=r"damaged\.png cannot be read: damaged, or no picture"):
            inferencer(damaged)
        with pytest.raises(UserError, match=r"an array must be \(H, W, 3\) in uint8"):
            inferencer(np.zeros((4, 4)))
        with pytest.raises(UserError, match="batch_size=0"):
            inferencer(one, batch_size=0)
        (tmp_path / "b").mkdir(exist_ok=True)
        same = tmp_path / "b" / f"{one.stem}.jpg"
        Image.open(one).convert("RGB").save(same)
        with pytest.raises(UserError, match="would be written under one name"):
            inferencer([one, same], out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
