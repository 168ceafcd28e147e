"""The inferencer: what goes in, what comes out, and what is said where it cannot."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools import mask as run_lengths

from mm_vidt import ViDTInferencer, checkpoint
from mm_vidt.checkpoint import to_official
from mm_vidt.class_rows import RAW_ROWS
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.datasets.generated.coco_shapes import PICTURES, coco_folder
from mmrepro.detection.class_space import COCO_IDS, coco_names
from mmrepro.engine.errors import UserError
from mmrepro.testing import SplitAdapter

small = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_detectors")
COUNT = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return small.weights_of(small.settings("plus"), tmp_path_factory.mktemp("weights") / "ours.pth")


@pytest.fixture(scope="module")
def inferencer(files):
    return ViDTInferencer(small.config_of(small.settings("plus")), files, device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return coco_folder(count=COUNT, size=64) / PICTURES


def of(name, path, **changes):
    """Return the inferencer of another detector with weights of its own."""
    model = small.settings(name) | changes
    return ViDTInferencer(small.config_of(model), small.weights_of(model, path), device="cpu")


def test_a_file_a_folder_and_an_array_give_boxes_and_masks(inferencer, pictures):
    one = sorted(pictures.iterdir())[0]
    (single,) = inferencer(one)["predictions"]
    assert len(inferencer(pictures)["predictions"]) == COUNT
    array = np.asarray(Image.open(one).convert("RGB"))
    (from_array,) = inferencer(np.ascontiguousarray(array[..., ::-1]))["predictions"]
    np.testing.assert_allclose(from_array["scores"], single["scores"], rtol=1e-5)
    assert single["scores"] == sorted(single["scores"], reverse=True)
    assert len(single["bboxes"]) == len(single["labels"]) == len(single["masks"]) == 10
    decoded = run_lengths.decode(single["masks"])  # (H, W, N)
    assert decoded.shape == (*array.shape[:2], 10)
    assert decoded.any()


def test_drawings_and_tables_with_masks_are_written(inferencer, pictures, tmp_path):
    inferencer(pictures, out_dir=str(tmp_path), no_save_pred=False, pred_score_thr=0.0)
    assert len(list((tmp_path / "vis").iterdir())) == COUNT
    (first, *_) = sorted((tmp_path / "preds").iterdir())
    table = json.loads(first.read_text())
    assert set(table) == {"labels", "scores", "bboxes", "masks"}
    assert run_lengths.decode(table["masks"][0]).ndim == 2


def test_boxes_alone_have_no_masks(pictures, tmp_path):
    (found,) = of("boxes", tmp_path / "boxes.pth")(sorted(pictures.iterdir())[0])["predictions"]
    assert set(found) == {"labels", "scores", "bboxes"}


def test_official_files_and_safetensors_load_as_they_are(inferencer, files, pictures, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(files, weights_only=True)["state_dict"]
    torch.save({"model": to_official(state)}, tmp_path / "official.pth")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "ours.safetensors")
    expected = inferencer(pictures)["predictions"]
    for file in ("official.pth", "ours.safetensors"):
        other = ViDTInferencer(small.config_of(small.settings("plus")), tmp_path / file, device="cpu")
        assert other(pictures)["predictions"] == expected


def test_a_deeper_file_serves_with_fewer_layers_if_asked(files, pictures, tmp_path):
    model = small.settings("plus")
    shallow = ViDTInferencer(small.config_of(model), files, device="cpu", num_layers=1)
    model["decoder"]["num_layers"] = 1
    with pytest.raises(CheckpointMismatchError, match="num_layers"):
        ViDTInferencer(small.config_of(model), files, device="cpu")
    with pytest.raises(UserError, match="without neck has no decoder"):
        ViDTInferencer(small.config_of(small.settings("neck-free")), files, device="cpu", num_layers=1)
    explained = shallow.explain(sorted(pictures.iterdir())[0], tmp_path, drawings=())
    assert len(explained.trace.boxes) == 2


@pytest.mark.parametrize("name", ["plus", "neck-free"])
def test_cocos_80_classes_are_taken_out_of_the_official_rows(pictures, tmp_path, name):
    model = small.settings(name)
    model["bbox_head"]["num_classes"] = RAW_ROWS
    torch.save({"model": to_official(small.built(model).state_dict())}, tmp_path / "official.pth")
    raw = ViDTInferencer(small.config_of(model), tmp_path / "official.pth", device="cpu")
    eighty = ViDTInferencer(small.config_of(model), tmp_path / "official.pth", device="cpu", contiguous=True)
    assert len(eighty.model.dataset_meta["classes"]) == eighty.model.bbox_head.num_classes == len(COCO_IDS)
    if name == "neck-free":  # a softmax, in which each class lowers the others
        return
    found, wanted = (one(sorted(pictures.iterdir())[0])["predictions"][0] for one in (eighty, raw))
    named = {(COCO_IDS[label], score) for label, score in zip(found["labels"], found["scores"], strict=True)}
    kept = {pair for pair in zip(wanted["labels"], wanted["scores"], strict=True) if pair[0] in COCO_IDS}
    assert kept
    assert kept <= named


def test_raw_rows_of_ours_become_contiguous_with_their_names(tmp_path):
    model = small.settings("plus")
    model["bbox_head"]["num_classes"] = RAW_ROWS
    named = small.weights_of(model, tmp_path / "ours.pth", dataset_meta={"classes": coco_names(RAW_ROWS)})
    eighty = ViDTInferencer(small.config_of(model), named, device="cpu", contiguous=True)
    assert eighty.model.dataset_meta["classes"] == tuple(CocoDataset.METAINFO["classes"])


def test_a_file_that_names_no_classes_in_its_meta_is_loaded(tmp_path):
    model = small.settings("plus")
    nameless = small.weights_of(model, tmp_path / "nameless.pth", dataset_meta=None)
    found = ViDTInferencer(small.config_of(model), nameless, device="cpu").model.dataset_meta["classes"]
    assert found == ("disc", "square", "triangle")


def test_a_file_is_converted_once(files, tmp_path, monkeypatch):
    torch.save(to_official(torch.load(files, weights_only=True)["state_dict"]), tmp_path / "official.pth")
    calls, convert = [], checkpoint.from_official
    monkeypatch.setattr(checkpoint, "from_official", lambda *args, **given: calls.append(0) or convert(*args, **given))
    ViDTInferencer(small.config_of(small.settings("plus")), tmp_path / "official.pth", device="cpu")
    assert len(calls) == 1


def test_heads_that_predict_nothing_may_be_absent_on_either_side(inferencer, files, pictures, tmp_path):
    state = torch.load(files, weights_only=True)["state_dict"]
    less = {key: value for key, value in state.items() if not re.search(r"iou_branches|token_embed|enc_output", key)}
    assert len(less) < len(state)
    torch.save({"state_dict": less}, tmp_path / "less.pth")
    config = small.config_of(small.settings("plus"))
    assert (
        ViDTInferencer(config, tmp_path / "less.pth", device="cpu")(pictures)["predictions"]
        == inferencer(pictures)["predictions"]
    )
    without = small.settings("plus")
    without["bbox_head"] |= dict(iou_aware=False, token_label=False)
    assert (
        ViDTInferencer(small.config_of(without), files, device="cpu")(pictures)["predictions"]
        == inferencer(pictures)["predictions"]
    )


def test_boxes_of_a_file_with_masks_are_predicted_if_asked(inferencer, files, pictures, tmp_path):
    without = small.settings("plus")
    without["bbox_head"]["with_vector"] = False
    advice = "with_vector(.|\n)*or drop_heads=True of ViDTCheckpointHook or ViDTInferencer leaves it out"
    with pytest.raises(CheckpointMismatchError, match=advice):
        ViDTInferencer(small.config_of(without), files, device="cpu")
    boxes = ViDTInferencer(small.config_of(without), files, device="cpu", drop_heads=True)
    wanted = [{key: one[key] for key in one if key != "masks"} for one in inferencer(pictures)["predictions"]]
    assert boxes(pictures)["predictions"] == wanted
    kept = ViDTInferencer(small.config_of(small.settings("plus")), files, device="cpu", drop_heads=True)
    assert kept(pictures)["predictions"] == inferencer(pictures)["predictions"]
    bare = small.weights_of(without, tmp_path / "bare.pth")
    with pytest.raises(CheckpointMismatchError, match="with_vector: False in the file"):
        ViDTInferencer(small.config_of(small.settings("plus")), bare, device="cpu", drop_heads=True)


@pytest.mark.parametrize("option", [dict(num_layers="4"), dict(contiguous=1)])
def test_a_wrong_option_is_refused(files, option):
    with pytest.raises(ValueError, match=rf"{next(iter(option))}=.* is not of its type"):
        ViDTInferencer(small.config_of(small.settings("plus")), files, device="cpu", **option)


def test_the_student_of_a_distillation_predicts_without_its_teacher(inferencer, files, pictures):
    model = small.settings("plus") | dict(type="ViDTDistiller", teacher_config="none.py", teacher_checkpoint="none.pth")
    student = ViDTInferencer(small.config_of(model | dict(distil_weight=2.0)), files, device="cpu")
    assert student(pictures)["predictions"] == inferencer(pictures)["predictions"]


@pytest.mark.parametrize(
    ("name", "drawings"),
    [
        ("plus", ["detections", "refinement", "attention", "coefficients"]),
        ("boxes", ["detections", "refinement", "attention"]),
        ("neck-free", ["detections", "attention"]),
    ],
)
def test_what_a_detector_has_is_drawn(pictures, tmp_path, name, drawings):
    one = sorted(pictures.iterdir())[0]
    explained = of(name, tmp_path / "weights.pth").explain(one, tmp_path / "drawn", threshold=0.0)
    assert [path.name for path in explained.files] == [f"{one.stem}_{drawing}.png" for drawing in drawings]
    assert sorted(explained.files) == sorted((tmp_path / "drawn").iterdir())
    trace, prediction = explained.trace, explained.prediction
    np.testing.assert_allclose(trace.boxes[-1], prediction["bboxes"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(trace.scores[-1], prediction["scores"], rtol=1e-5)


def test_a_body_without_cross_stages_has_no_attention_to_draw(pictures, tmp_path):
    backbone = small.settings("boxes")["backbone"] | dict(cross_stages=())
    other = of("boxes", tmp_path / "weights.pth", backbone=backbone)
    (drawn,) = other.explain(sorted(pictures.iterdir())[0], tmp_path / "a", drawings=["attention", "detections"]).files
    assert drawn.stem.endswith("_detections")


def test_the_chosen_detection_is_drawn(inferencer, pictures, tmp_path):
    one = sorted(pictures.iterdir())[0]
    best, same, other = (
        inferencer.explain(one, tmp_path / str(chosen), detection=chosen, drawings=["attention"]).files[0].read_bytes()
        for chosen in (None, 0, 4)
    )
    assert best == same != other


def test_class_names_come_from_the_file_the_config_or_coco(files, tmp_path):
    model = small.settings("plus")
    stored = small.weights_of(model, tmp_path / "named.pth", dataset_meta={"classes": ("a", "b")})

    def names(weights, dataset=None, **given):
        config = small.config_of(model)
        config.test_dataloader.dataset.update(dataset or {})
        return ViDTInferencer(config, weights, device="cpu", **given).model.dataset_meta["classes"]

    assert names(stored) == ("a", "b", "class 2")
    assert names(stored, classes=("c",)) == ("c", "class 1", "class 2")
    assert names(files) == ("disc", "square", "triangle")  # of the kind of data
    assert names(files, dict(metainfo=dict(classes=("x", "y", "z")))) == ("x", "y", "z")
    for outputs, second in ((91, "person"), (80, "bicycle")):
        model["bbox_head"] |= dict(num_classes=outputs, labels="raw" if outputs == 91 else "contiguous")
        many = small.weights_of(model, tmp_path / "many.pth")
        assert names(many, dict(type="DetrCocoDataset"))[1] == second
        assert names(many, dict(type="ShapesCocoDataset"))[1] == "class 1"  # as many scores, but not COCO's


def test_names_that_do_not_fit_are_refused(files):
    config = small.config_of(small.settings("plus"))
    with pytest.raises(UserError, match="classes='cat' is one text"):
        ViDTInferencer(config, files, device="cpu", classes="cat")
    with pytest.raises(UserError, match="there are 4 class names and 3 class scores"):
        ViDTInferencer(config, files, device="cpu", classes=("a",) * 4)


@pytest.mark.parametrize("official", [False, True])
def test_weights_of_another_detector_are_refused_with_the_settings_that_differ(tmp_path, official):
    wider = small.settings("plus")
    wider["bbox_head"]["num_classes"] = 5
    path = small.weights_of(wider, tmp_path / "other.pth")
    if official:
        torch.save(to_official(torch.load(path, weights_only=True)["state_dict"]), path)
    with pytest.raises(CheckpointMismatchError, match=r"other\.pth(.|\n)*num_classes"):
        ViDTInferencer(small.config_of(small.settings("plus")), path, device="cpu")


def test_every_weight_is_loaded_or_none(files, tmp_path):
    state = torch.load(files, weights_only=True)["state_dict"]
    torch.save({"state_dict": state | {"extra": torch.zeros(1)}}, tmp_path / "more.pth")
    del state["decoder.layers.0.norms.0.weight"]
    torch.save({"state_dict": state}, tmp_path / "less.pth")
    for name, key in (("more", "extra"), ("less", r"decoder\.layers\.0\.norms\.0\.weight")):
        with pytest.raises(CheckpointMismatchError, match=rf"{name}\.pth(.|\n)*{key}"):
            ViDTInferencer(small.config_of(small.settings("plus")), tmp_path / f"{name}.pth", device="cpu")


def test_bad_input_is_named(inferencer, pictures, tmp_path):
    one = sorted(pictures.iterdir())[0]
    with pytest.raises(UserError, match="without weights finds nothing"):
        ViDTInferencer(small.config_of(small.settings("plus")))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        inferencer(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match="these are 2 pictures"):
        inferencer.explain([one, one], tmp_path)
    with pytest.raises(IndexError, match="no detection 10: they are 0 to 9"):
        inferencer.explain(one, tmp_path / "explained", detection=10)
    with pytest.raises(ValueError, match="no drawing 'heads': they are 'detections', 'refinement', 'attention'"):
        inferencer.explain(one, tmp_path / "explained", drawings=("heads", "attention"))
    assert not (tmp_path / "explained").exists()
    other = tmp_path / "other.py"
    other.write_text("custom_imports = dict(imports=['mm_unheard_of'], allow_failed_imports=False)\n")
    with pytest.raises(UserError, match=r"other\.py is not for this package.*mmrepro list vidt"):
        ViDTInferencer(other, "weights.pth")
