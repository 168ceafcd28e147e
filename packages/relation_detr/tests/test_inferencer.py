"""The inferencer: what goes in, what comes out, and what is said where it cannot."""

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mm_relation_detr.checkpoint import to_official
from mm_relation_detr.inferencer import RelationDETRInferencer
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.datasets.generated.coco_shapes import PICTURES, coco_folder
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny

CONFIG = "relation-detr_r50-4scale_2xb5-12e_coco"
COUNT = 3


def small(name=CONFIG):
    return tiny(load_config(papers.find_config("relation_detr", name)))


def weights_of(config: Config, path, **meta):
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config.model))
    model.init_weights()
    for branch in model.bbox_head.cls_branches:
        torch.nn.init.normal_(branch.weight, std=0.5)  # scores that differ
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return weights_of(small(), tmp_path_factory.mktemp("weights") / "ours.pth")


@pytest.fixture(scope="module")
def inferencer(files):
    return RelationDETRInferencer(small(), files, device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return coco_folder(count=COUNT, size=64) / PICTURES


def test_a_file_a_folder_an_array_and_a_list_give_detections(inferencer, pictures):
    one = sorted(pictures.iterdir())[0]
    (single,) = inferencer(one)["predictions"]
    assert len(inferencer(pictures)["predictions"]) == COUNT
    array = np.asarray(Image.open(one))[..., ::-1]
    from_array, again = inferencer([array, str(one)])["predictions"]
    assert single["scores"] == again["scores"]
    np.testing.assert_allclose(from_array["scores"], single["scores"], rtol=1e-5)
    assert single["scores"] == sorted(single["scores"], reverse=True)
    assert len(single["bboxes"]) == len(single["labels"]) == len(single["scores"]) > 0


def test_drawings_and_tables_are_written(inferencer, pictures, tmp_path):
    inferencer(pictures, out_dir=str(tmp_path), no_save_pred=False, pred_score_thr=0.0)
    assert len(list((tmp_path / "vis").iterdir())) == COUNT
    (first, *_) = sorted((tmp_path / "preds").iterdir())
    assert set(json.loads(first.read_text())) == {"labels", "scores", "bboxes"}


def test_drawings_of_arrays_and_of_files_have_the_same_colours(inferencer, tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 255  # blue first
    Image.fromarray(red[..., ::-1]).save(tmp_path / "red.png")
    drawn = inferencer([red, tmp_path / "red.png"], return_vis=True, pred_score_thr=1.1)["visualization"]
    assert [one[5, 5].tolist() for one in drawn] == [[255, 0, 0]] * 2
    inferencer(red, out_dir=tmp_path / "out", pred_score_thr=1.1)
    (file,) = (tmp_path / "out" / "vis").iterdir()
    assert Image.open(file).getpixel((5, 5)) == (255, 0, 0)


def test_tables_of_arrays_are_named_as_their_drawings(inferencer, tmp_path):
    inferencer([np.zeros((40, 50, 3), np.uint8)] * 2, out_dir=tmp_path, no_save_pred=False)
    drawings, tables = (sorted(file.stem for file in (tmp_path / name).iterdir()) for name in ("vis", "preds"))
    assert drawings == tables
    assert len(tables) == 2


@pytest.mark.parametrize(("mode", "name"), [("L", "a.pgm"), ("CMYK", "a.jpg"), ("RGBA", "a.png"), ("I;16", "b.png")])
def test_every_kind_of_picture_is_seen_and_drawn(inferencer, tmp_path, mode, name):
    if mode == "I;16":
        Image.fromarray(np.full((40, 50), 30_000, np.uint16)).save(tmp_path / name)
    else:
        Image.new("RGB", (50, 40), "orange").convert(mode).save(tmp_path / name)
    (found,) = inferencer(tmp_path / name, out_dir=tmp_path / "out")["predictions"]
    assert found["scores"]
    (drawing,) = (tmp_path / "out" / "vis").iterdir()
    assert Image.open(drawing).size == (50, 40)
    assert drawing.name == (name if name.endswith("jpg") else f"{name[0]}.png")


def test_several_pictures_in_a_batch_are_found_as_alone(inferencer, pictures):
    same = [sorted(pictures.iterdir())[0]] * 3  # others would be padded, which the network sees
    alone, together = (inferencer(same, batch_size=size)["predictions"] for size in (1, 2))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], rtol=1e-4)


def test_a_turned_photograph_is_seen_upright(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: viewers rotate by 90 degrees
    Image.new("RGB", (64, 48)).save(tmp_path / "turned.jpg", exif=exif)
    (found,) = inferencer(tmp_path / "turned.jpg", return_datasamples=True)["predictions"]
    assert found.ori_shape == (64, 48)


def test_official_files_load_as_they_are(inferencer, files, pictures, tmp_path):
    ours = torch.load(files, weights_only=True)["state_dict"]
    torch.save({"model": to_official(ours)}, tmp_path / "official.pth")
    official = RelationDETRInferencer(small(), tmp_path / "official.pth", device="cpu")
    expected, found = (one(pictures)["predictions"] for one in (inferencer, official))
    assert found == expected


def test_the_relation_in_mmdets_dino_is_drawn_too(pictures, tmp_path):
    config = small("dino-4scale_r50_relation_8xb2-12e_coco")
    other = RelationDETRInferencer(config, weights_of(config, tmp_path / "weights.pth"), device="cpu")
    explained = other.explain(sorted(pictures.iterdir())[0], tmp_path / "drawn", threshold=0)
    assert len(explained.files) == 4
    trace = explained.trace
    assert len(trace.boxes) == config.model.decoder.num_layers == len(trace.relations) + 1
    height, width = Image.open(sorted(pictures.iterdir())[0]).size[::-1]
    shown = trace.boxes[-1].clip(0, (width, height, width, height))  # mmdet clips
    away = np.abs(np.array(explained.prediction["bboxes"])[:, None] - shown).max(-1)  # (detections, N)
    assert away.min(1).max() < 1e-2


def test_how_a_picture_was_seen_is_drawn(inferencer, pictures, tmp_path):
    one = sorted(pictures.iterdir())[0]
    explained = inferencer.explain(one, tmp_path, threshold=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in explained.files)
    assert [path.stem.rsplit("_")[-1] for path in explained.files] == ["detections", "relations", "heads", "refinement"]
    (alone,) = inferencer.explain(one, tmp_path / "alone", threshold=0, drawings=["heads"]).files
    assert list((tmp_path / "alone").iterdir()) == [alone]
    assert alone.read_bytes() == explained.files[2].read_bytes()
    trace = explained.trace
    layers, queries = trace.boxes.shape[:2]
    assert trace.relations.shape == (layers - 1, 8, queries, queries)
    best = np.argmax(trace.scores)
    assert explained.prediction["scores"][0] == pytest.approx(trace.scores[best])
    np.testing.assert_allclose(explained.prediction["bboxes"][0], trace.boxes[-1, best], rtol=1e-4, atol=1e-3)
    assert not inferencer.model.decoder._forward_hooks


def test_a_model_that_uses_no_relation_is_drawn_without(pictures, tmp_path):
    config = small("deformable-detr-pp_r50-4scale_2xb5-12e_coco")  # as released
    other = RelationDETRInferencer(config, weights_of(config, tmp_path / "weights.pth"), device="cpu")
    explained = other.explain(sorted(pictures.iterdir())[0], tmp_path / "drawn")
    assert [path.stem.rsplit("_")[-1] for path in explained.files] == ["detections", "refinement"]


def test_class_names_come_from_the_file_the_config_or_coco(files, tmp_path):
    config = small()
    stored = weights_of(config, tmp_path / "named.pth", dataset_meta={"classes": ("none", "disc")})
    named = RelationDETRInferencer(config, stored, device="cpu").model.dataset_meta["classes"]
    assert named[:3] == ("none", "disc", "class 2")
    assert len(named) == config.model.bbox_head.num_classes
    given = RelationDETRInferencer(config, files, device="cpu", classes=("a", "b"))
    assert given.model.dataset_meta["classes"][:2] == ("a", "b")
    with pytest.raises(UserError, match="classes='cat' is one text"):
        RelationDETRInferencer(config, files, device="cpu", classes="cat")
    with pytest.raises(UserError, match="there are 20 class names and 8 class scores"):
        RelationDETRInferencer(config, files, device="cpu", classes=("a",) * 20)
    names = {"RelationCocoDataset": "person", "DetrCocoDataset": "person", "SADet100kDataset": "class 1"}
    for dataset, second in names.items():
        config.model.bbox_head.num_classes = 91
        config.test_dataloader.dataset.type = dataset
        found = RelationDETRInferencer(config, weights_of(config, tmp_path / "of_91.pth"), device="cpu")
        assert found.model.dataset_meta["classes"][1] == second


@pytest.mark.parametrize("official", [False, True])
def test_weights_of_another_model_are_refused_with_the_settings_that_differ(tmp_path, official):
    config = small()
    wider = small()
    wider.model.bbox_head.num_classes = 5
    path = weights_of(wider, tmp_path / "other.pth")
    if official:
        torch.save(to_official(torch.load(path, weights_only=True)["state_dict"]), path)
    with pytest.raises(CheckpointMismatchError, match=r"other\.pth(.|\n)*num_classes: 5 in the file, 8 in the config"):
        RelationDETRInferencer(config, path, device="cpu")


def test_weights_with_an_unknown_key_are_refused_by_it(files, tmp_path):
    state = torch.load(files, weights_only=True)["state_dict"]
    torch.save({"state_dict": state | {"extra": torch.zeros(1)}}, tmp_path / "more.pth")
    with pytest.raises(CheckpointMismatchError, match=r"more\.pth(.|\n)*extra"):
        RelationDETRInferencer(small(), tmp_path / "more.pth", device="cpu")


def test_bad_input_is_named(inferencer, pictures, tmp_path):
    with pytest.raises(UserError, match="without weights finds nothing"):
        RelationDETRInferencer(small())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        inferencer(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match=r"an array must be \(H, W, 3\) in uint8"):
        inferencer(np.zeros((4, 4), np.uint8))
    one = sorted(pictures.iterdir())[0]
    damaged = tmp_path / "damaged.png"
    content = one.read_bytes()
    damaged.write_bytes(content[:50] + bytes(200) + content[-30:])
    (tmp_path / "notes.txt").write_text("no picture")
    for path in (damaged, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match=rf"{path.name} cannot be read: damaged, or no picture. Fix:"):
            inferencer(path)
    with pytest.raises(UserError, match=r"Tensor is no picture\. Fix: give a file, a folder or an array"):
        inferencer(torch.zeros(2, 3))
    with pytest.raises(UserError, match="batch_size=0"):
        inferencer(one, batch_size=0)
    with pytest.raises(UserError, match="these are 2 pictures"):
        inferencer.explain([one, one], tmp_path)
    for wrong, message in ((dict(query=99), "no query 99"), (dict(layer=0), "layer 0 has no relation bias")):
        with pytest.raises(IndexError, match=message):
            inferencer.explain(one, tmp_path / "explained", **wrong)
    with pytest.raises(ValueError, match="no drawing 'bias': they are 'detections', 'relations', 'heads'"):
        inferencer.explain(one, tmp_path / "explained", drawings=("heads", "bias"))
    assert not (tmp_path / "explained").exists()


def test_results_that_would_replace_one_another_are_refused(inferencer, pictures, tmp_path):
    one = Image.open(sorted(pictures.iterdir())[0]).convert("RGB")
    for name in ("a.png", "a.bmp", "a.jpg"):
        one.save(tmp_path / name)
    png, bmp, jpg = (tmp_path / name for name in ("a.png", "a.bmp", "a.jpg"))
    out = tmp_path / "out"
    assert len(inferencer([png, bmp, jpg])["predictions"]) == 3
    with pytest.raises(UserError, match=r"a\.png and .*a\.bmp would be written under one name"):
        inferencer([png, bmp], out_dir=out)
    with pytest.raises(UserError, match=r"a\.png and .*a\.jpg would be written under one name"):  # a.json
        inferencer([png, jpg], out_dir=out, no_save_pred=False)
    assert not out.exists()
    inferencer([png, jpg], out_dir=out)
    assert sorted(file.name for file in (out / "vis").iterdir()) == ["a.jpg", "a.png"]


def test_configs_of_others_are_refused(files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nor a config of relation_detr\. Did you mean: relation"):
        RelationDETRInferencer("relation-detr_r50-4scale_2xb5-12e_coc", files)
    other = tmp_path / "other.py"
    other.write_text("custom_imports = dict(imports=['mm_unheard_of'], allow_failed_imports=False)\n")
    with pytest.raises(UserError, match=r"other\.py is not for this package.*mmrepro list relation_detr"):
        RelationDETRInferencer(other, files)
    with pytest.raises(TypeError, match="contigous"):
        RelationDETRInferencer(small(), files, contigous=True)
