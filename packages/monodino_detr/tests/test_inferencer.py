"""The inferencer: pictures and cameras in, 3D boxes, drawings and files out, and what is said where it cannot."""

import json

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from PIL import Image

from mm_monodino_detr import MonoDINODETRInferencer, quickstart
from mm_monodino_detr.cameras import cameras_of
from mm_monodino_detr.checkpoint import to_official
from mm_monodino_detr.datasets.kitti_calibration import CalibrationError, read_calibration
from mm_monodino_detr.evaluation.kitti_files import read_objects
from mm_monodino_detr.inferencer import reach_of
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.datasets.generated.kitti_scenes import kitti_folder
from mmrepro.engine.errors import UserError
from mmrepro.testing import load_config, tiny

COUNT, KEYS = 3, {"labels", "scores", "bboxes", "bboxes_3d", "alphas"}
CLASSES = ("Pedestrian", "Car", "Cyclist")


def settings():
    return tiny(load_config(papers.find_config("monodino_detr", quickstart.CONFIG)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a file with weights of which some detections have a score."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        torch.manual_seed(0)
        model = MODELS.build(settings().model)
        model.init_weights()
    state = model.state_dict()
    for key in state:
        if "cls_branches" in key and key.endswith("bias"):
            state[key] = torch.tensor([0.5, 0.0, -0.5])
    path = tmp_path_factory.mktemp("weights") / "ours.pth"
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": CLASSES}}}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(files):
    return MonoDINODETRInferencer(settings(), files, device="cpu")


@pytest.fixture(scope="module")
def scenes():
    return kitti_folder(count=COUNT, size=(320, 112), val=0) / "training"


@pytest.fixture(scope="module")
def picture(scenes):
    return scenes / "image_2/000000.png"


def array_of(picture):
    return np.ascontiguousarray(np.asarray(Image.open(picture).convert("RGB"))[..., ::-1])


def test_a_file_a_folder_and_an_array_give_boxes(inferencer, scenes, picture):
    (single,) = inferencer(picture, scenes / "calib/000000.txt")["predictions"]
    assert set(single) == KEYS
    many = inferencer(scenes / "image_2", camera=scenes / "calib")["predictions"]
    assert len(many) == COUNT
    assert many[0] == single
    p2 = read_calibration(scenes / "calib/000000.txt").p2
    (from_array,) = inferencer(array_of(picture), p2)["predictions"]
    assert from_array == single
    assert len(single["scores"]) == len(single["bboxes"]) == len(single["bboxes_3d"]) > 5
    assert {len(box) for box in single["bboxes_3d"]} == {7}
    together = inferencer(scenes / "image_2", camera=scenes / "calib", batch_size=COUNT)["predictions"]
    np.testing.assert_allclose(together[0]["bboxes_3d"], single["bboxes_3d"], rtol=1e-3, atol=1e-3)


def test_the_camera_decides_where_things_are(inferencer, picture):
    near, far = (inferencer(picture, focal)["predictions"][0] for focal in (150, 300.0))
    depths = [np.array(one["bboxes_3d"])[:, 5].mean() for one in (near, far)]
    assert depths[1] > depths[0]
    wide = [[150.0, 0, 160], [0, 150, 56], [0, 0, 1]]
    assert inferencer(picture, wide)["predictions"][0] == near


def test_drawings_tables_and_result_files_are_written(inferencer, scenes, tmp_path):
    found = inferencer(scenes / "image_2", scenes / "calib", out_dir=tmp_path, no_save_pred=False)["predictions"]
    names = sorted(path.stem for path in (scenes / "image_2").iterdir())
    for folder, suffix in (("vis", "png"), ("kitti", "txt"), ("preds", "json")):
        assert sorted((tmp_path / folder).iterdir()) == [tmp_path / folder / f"{name}.{suffix}" for name in names]
    assert json.loads((tmp_path / "preds" / f"{names[0]}.json").read_text()) == found[0]
    written = read_objects(tmp_path / "kitti" / f"{names[0]}.txt", scored=True)
    assert set(written.names) <= set(CLASSES)
    np.testing.assert_allclose(written.scores, found[0]["scores"], atol=0.006)
    np.testing.assert_allclose(written.sizes, np.array(found[0]["bboxes_3d"])[:, :3], atol=0.006)


def test_arrays_get_numbers_as_names_and_drawings_are_returned(files, picture, tmp_path):
    fresh = MonoDINODETRInferencer(settings(), files, device="cpu")
    result = fresh([array_of(picture)] * 2, 186.0, out_dir=tmp_path, return_vis=True)
    assert sorted(path.name for path in (tmp_path / "kitti").iterdir()) == ["00000000.txt", "00000001.txt"]
    assert len(result["visualization"]) == 2
    assert not (tmp_path / "preds").exists()


def test_official_files_and_safetensors_load_as_they_are(inferencer, files, picture, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(files, weights_only=True)["state_dict"]
    official = {"epoch": 1, "model_state": to_official(state, depth_max=settings().model.depth_predictor.depth_max)}
    torch.save(official, tmp_path / "official.pth")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "ours.safetensors")
    expected = inferencer(picture, 186.0)["predictions"]
    for file in ("official.pth", "ours.safetensors"):
        other = MonoDINODETRInferencer(settings(), tmp_path / file, device="cpu")
        assert other(picture, 186.0)["predictions"] == expected
        assert other.model.dataset_meta["classes"] == CLASSES


def test_a_file_loads_whole_or_not_at_all(files, tmp_path):
    state = torch.load(files, weights_only=True)["state_dict"]
    name = next(key for key in state if key.startswith("bbox_head.dim_branches"))
    torch.save({"state_dict": {key: value for key, value in state.items() if key != name}}, tmp_path / "less.pth")
    with pytest.raises(CheckpointMismatchError, match=name):
        MonoDINODETRInferencer(settings(), tmp_path / "less.pth", device="cpu")
    torch.save({"pretrained.blocks.0.norm1.weight": torch.ones(4)}, tmp_path / "depth_anything.pth")
    with pytest.raises(CheckpointMismatchError, match=r"no detector(.|\n)*PretrainedDepthAnything"):
        MonoDINODETRInferencer(settings(), tmp_path / "depth_anything.pth", device="cpu")
    deeper = settings()
    deeper.model.decoder.num_layers += 1
    with pytest.raises(CheckpointMismatchError, match="num_layers"):
        MonoDINODETRInferencer(deeper, files, device="cpu")


def test_options_of_decoding(inferencer, files, picture):
    strict = MonoDINODETRInferencer(settings(), files, device="cpu", threshold=0.55)
    few, many = (one(picture, 186.0)["predictions"][0] for one in (strict, inferencer))
    assert len(few["scores"]) < len(many["scores"])
    stretched = MonoDINODETRInferencer(settings(), files, device="cpu", exact_affine_decode=False)
    wide = np.zeros((112, 400, 3), np.uint8)  # its rows are cut when its width is scaled to the input's
    exact, official = (np.array(one(wide, 186.0)["predictions"][0]["bboxes"]) for one in (inferencer, stretched))
    np.testing.assert_allclose(exact[:, 0::2], official[:, 0::2], atol=1e-3)
    assert np.abs(exact[:, 1::2] - official[:, 1::2]).max() > 1


def test_a_prediction_is_explained(inferencer, picture, tmp_path):
    explained = inferencer.explain(picture, 186.0, tmp_path)
    assert [path.name for path in explained.files] == ["000000_detections.png", "000000_depth.png"]
    for path in explained.files:
        with Image.open(path) as image:
            image.load()
    assert explained.prediction == inferencer(picture, 186.0)["predictions"][0]
    assert explained.relative_depth.shape == explained.weighted_depth.shape == (6, 6)
    assert explained.weighted_depth.max() <= inferencer.model.depth_predictor.depth_max
    with pytest.raises(ValueError, match="no drawing 'heat': they are 'detections', 'depth'"):
        inferencer.explain(picture, 186.0, tmp_path, drawings=("depth", "heat"))


def test_one_camera_or_one_each(picture, scenes, tmp_path):
    array = array_of(picture)
    matrix = np.array([[186.0, 0, 160, 0], [0, 186, 56, 0], [0, 0, 1, 0]])
    for camera in (186.0, matrix, matrix.tolist(), matrix[:, :3], np.float32(186)):
        assert [one.p2.tolist() for one in cameras_of([array, array], camera)] == [matrix.tolist()] * 2
    other = matrix * [[2], [2], [1]]
    each = [[186.0, other], [matrix, 2 * 186.0], np.stack([matrix, other]), np.array([186.0, 372.0])]
    for camera in each:
        assert [one.focal for one in cameras_of([array, array], camera)] == [(186, 186), (372, 372)]
    path = scenes / "calib/000000.txt"
    assert cameras_of([array, str(picture)], [186.0, path])[1].p2.tolist() == read_calibration(path).p2.tolist()


@pytest.mark.parametrize(
    ("camera", "error", "said"),
    [
        (None, UserError, "there is no camera.*Fix: camera="),
        ([186.0, 186.0], UserError, "2 cameras for 1 pictures"),
        (np.ones((2, 4)), CalibrationError, r"camera of .*000000\.png has shape \(2, 4\).*focal length in pixels"),
        (np.full((3, 4), np.nan), CalibrationError, r"000000\.png.*not finite"),
        (np.diag([1.0, -1, 1]), CalibrationError, r"000000\.png.*focal lengths"),
        (-5, CalibrationError, "focal length of -5 pixels"),
        (float("nan"), CalibrationError, "focal length of nan pixels"),
        ([["a", "b"]] * 3, CalibrationError, r"000000\.png holds no numbers"),
        ("no_such_file.txt", CalibrationError, "no_such_file.txt: there is no such calibration file"),
    ],
)
def test_a_camera_that_is_none_is_named(inferencer, picture, camera, error, said):
    with pytest.raises(error, match=said):
        inferencer(picture, camera)


def test_a_folder_of_cameras_has_one_for_each_name(inferencer, picture, scenes, tmp_path):
    with pytest.raises(CalibrationError, match=r"000000\.txt: there is no such calibration file"):
        inferencer(picture, tmp_path)
    with pytest.raises(UserError, match="an array has no name"):
        inferencer(array_of(picture), scenes / "calib")


def test_bad_arguments_are_refused(files, tmp_path):
    with pytest.raises(UserError, match="without weights finds nothing"):
        MonoDINODETRInferencer(quickstart.CONFIG)
    with pytest.raises(UserError, match="is one text"):
        MonoDINODETRInferencer(settings(), files, classes="Car")
    with pytest.raises(UserError, match=r"threshold=2 is not in \[0, 1\]"):
        MonoDINODETRInferencer(settings(), files, threshold=2)
    with pytest.raises(UserError, match="4 class names and 3 class scores"):
        MonoDINODETRInferencer(settings(), files, device="cpu", classes=("a", "b", "c", "d"))
    other = tmp_path / "other.py"
    other.write_text("custom_imports = dict(imports=['mm_unheard_of'], allow_failed_imports=False)\n")
    with pytest.raises(UserError, match=r"other\.py is not for this package.*mmrepro list monodino_detr"):
        MonoDINODETRInferencer(other, "weights.pth")


def test_names_of_classes_come_from_the_file_or_are_given(files):
    named = MonoDINODETRInferencer(settings(), files, device="cpu", classes=("walker",))
    assert named.model.dataset_meta["classes"] == ("walker", "class 1", "class 2")


def test_views_from_above_reach_farther_with_farther_bins():
    assert [reach_of(depth) for depth in (60.0, 120.0, 15.0)] == [70.0, 140.0, 20.0]
