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
from mm_relation_detr.inferencer import RelationDETRInferencer, coco_names
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


def test_how_a_picture_was_seen_is_drawn(inferencer, pictures, tmp_path):
    one = sorted(pictures.iterdir())[0]
    explained = inferencer.explain(one, tmp_path, threshold=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in explained.files)
    assert [path.stem.rsplit("_")[-1] for path in explained.files] == ["relations", "heads", "refinement"]
    trace = explained.trace
    layers, queries = trace.boxes.shape[:2]
    assert trace.relations.shape == (layers - 1, 8, queries, queries)
    best = np.argmax(trace.scores)
    assert explained.prediction["scores"][0] == pytest.approx(trace.scores[best])
    np.testing.assert_allclose(explained.prediction["bboxes"][0], trace.boxes[-1, best], rtol=1e-4, atol=1e-3)
    assert not inferencer.model.decoder._forward_hooks


def test_a_model_that_uses_no_relation_is_drawn_without(pictures, tmp_path):
    config = small("deformable-detr-pp_r50-4scale_2xb5-12e_coco")
    other = RelationDETRInferencer(config, weights_of(config, tmp_path / "weights.pth"), device="cpu")
    explained = other.explain(sorted(pictures.iterdir())[0], tmp_path / "drawn")
    assert [path.name[-14:] for path in explained.files] == ["refinement.png"]


def test_class_names_come_from_the_file_the_config_or_coco(files, tmp_path):
    config = small()
    stored = weights_of(config, tmp_path / "named.pth", dataset_meta={"classes": ("none", "disc")})
    named = RelationDETRInferencer(config, stored, device="cpu").model.dataset_meta["classes"]
    assert named[:3] == ("none", "disc", "class 2")
    assert len(named) == config.model.bbox_head.num_classes
    given = RelationDETRInferencer(config, files, device="cpu", classes=("a", "b"))
    assert given.model.dataset_meta["classes"][:2] == ("a", "b")
    with pytest.raises(UserError, match="there are 20 class names and 8 class scores"):
        RelationDETRInferencer(config, files, device="cpu", classes=("a",) * 20)
    assert coco_names(91)[1] == "person"
    assert coco_names(91)[90] == "toothbrush"
    assert coco_names(91)[12] == "none"
    assert coco_names(80)[0] == "person"


def test_weights_of_another_model_are_refused_key_by_key(tmp_path):
    config = small()
    wider = small()
    wider.model.bbox_head.num_classes = 5
    path = weights_of(wider, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatchError, match=r"other\.pth(.|\n)*bbox_head\.cls_branches\.0\.weight"):
        RelationDETRInferencer(config, path, device="cpu")


def test_bad_input_is_named(inferencer, pictures, tmp_path):
    with pytest.raises(UserError, match="without weights finds nothing"):
        RelationDETRInferencer(small())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        inferencer(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match="there is no picture in"):
        inferencer(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png cannot be read: no picture"):
        inferencer(tmp_path / "text.png")
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match=r"an array must be \(H, W, 3\) in uint8"):
            inferencer(array)
    with pytest.raises(IndexError, match="no query 99"):
        inferencer.explain(sorted(pictures.iterdir())[0], tmp_path, query=99)
