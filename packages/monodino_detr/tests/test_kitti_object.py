"""The data set: what it reads of KITTI's files, and what it says of bad ones before a training begins."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS

from mm_monodino_detr.datasets.kitti_calibration import KittiCalibration, checked_calibration, read_calibration
from mm_monodino_detr.datasets.kitti_check import check_folder
from mm_monodino_detr.datasets.kitti_frames import KittiDataError
from mm_monodino_detr.evaluation.kitti_files import KittiFileError, KittiObjects, read_objects
from mmrepro.datasets.generated.kitti_scenes import calibration
from mmrepro.testing import SplitAdapter, require_data

_HERE = SplitAdapter(Path(__file__).resolve().parent, {}).part("kitti_files_here")
CAR, SIZE, kitti_frames = _HERE.CAR, _HERE.SIZE, _HERE.kitti_frames

DONT_CARE = "DontCare -1 -1 -10 5 5 20 20 -1 -1 -1 -1000 -1000 -1000 -10"
CYCLIST = CAR.replace("Car", "Cyclist")
TO_INPUT = (
    dict(type="KittiFlipCropAffine", size=(320, 96), flip_prob=0, crop_prob=0),
    dict(type="PackMono3DInputs"),
)


def data_set(root, **settings):
    """Return the data set; serialising it collects the garbage of all of the process, which takes half a second."""
    return DATASETS.build(dict(type="Kitti3DDataset", data_root=str(root), serialize_data=False) | settings)


def test_frames_labels_and_cameras_are_read(tmp_path):
    root = kitti_frames(tmp_path, [f"{CAR}\n{CYCLIST}\n{DONT_CARE}\n", "", DONT_CARE])
    read = data_set(root, serialize_data=True)
    assert [read.get_data_info(index)["img_id"] for index in range(len(read))] == ["000000", "000001", "000002"]
    first, empty, ignored = (read.get_data_info(index) for index in range(3))
    np.testing.assert_allclose(first["cam2img"], calibration(SIZE), rtol=1e-6)
    assert first["labels"].tolist() == [1, -1, -1]  # only Car is trained, by the official number
    np.testing.assert_allclose(first["objects"].sizes[0], [1.5, 1.6, 3.9])
    assert Path(first["label_path"]).read_text().startswith("Car")
    assert empty["labels"].tolist() == []
    assert ignored["labels"].tolist() == [-1]


def test_classes_of_ones_own(tmp_path):
    root = kitti_frames(tmp_path, [f"{CAR.replace('Car', 'kart')}\n{CYCLIST}"])
    read = data_set(root, writelist=("Kart",), metainfo=dict(classes=("Kart",)))
    assert read.get_data_info(0)["labels"].tolist() == [0, -1]
    with pytest.raises(KittiDataError, match=r"line 1: the class 'kart' is not known"):
        data_set(root)


def test_every_picture_without_a_split_and_testing_without_labels(tmp_path):
    root = kitti_frames(tmp_path, [None, None])
    folders = dict(img="training/image_2", calib="training/calib")
    pipeline = [dict(type="LoadImageFromFile"), *TO_INPUT]
    read = data_set(root, ann_file="", data_prefix=folders, test_mode=True, pipeline=pipeline)
    assert len(read) == 2
    sample = read[1]["data_samples"]
    assert sample.img_id == "000001"
    assert sample.label_path == ""
    assert "gt_instances" not in sample
    loads = [pipeline[0], dict(type="LoadKittiAnnotations3D")]
    with pytest.raises(KeyError, match=r"000000\.png comes without labels"):
        data_set(root, ann_file="", data_prefix=folders, test_mode=True, pipeline=loads)[0]
    with pytest.raises(KittiDataError, match="data_prefix has no 'label'"):
        data_set(root, ann_file="", data_prefix=folders)


def test_bad_files_are_all_named_at_once(tmp_path):
    root = kitti_frames(tmp_path, [CAR, CAR.rsplit(" ", 1)[0], CAR.replace(" 8.00", " nan"), None])
    (root / "training/calib/000000.txt").write_text("P0: 1 2 3\n")
    with pytest.raises(KittiDataError) as caught:
        data_set(root)
    said = str(caught.value)
    assert "4 of 4 frames" in said
    assert "calib/000000.txt has no line 'P2:' (keys: P0)" in said
    assert "label_2/000001.txt, line 1: 14 fields" in said
    assert "label_2/000002.txt, line 1: z is 'nan'" in said
    assert "label_2/000003.txt cannot be read" in said
    assert "check_kitti" in said


def test_pictures_that_cannot_be_read(tmp_path):
    root = kitti_frames(tmp_path, [CAR, CAR])
    (root / "training/image_2/000001.png").unlink()
    with pytest.raises(KittiDataError, match=r"1 of 2 pictures cannot be read: .*000001\.png \(missing\)"):
        data_set(root)
    assert len(data_set(root, bad_images="skip")) == 1
    (root / "training/image_2/000000.png").write_bytes(b"")
    with pytest.raises(KittiDataError, match="2 of 2 pictures"):
        data_set(root, bad_images="skip")


def test_a_split_that_cannot_be_used(tmp_path):
    root = kitti_frames(tmp_path, [CAR])
    with pytest.raises(KittiFileError, match=r"val\.txt cannot be read"):
        data_set(root, ann_file="ImageSets/val.txt")
    (root / "ImageSets/train.txt").write_text("000000\n000000\n")
    with pytest.raises(KittiFileError, match="000000 stands in line 1 too"):
        data_set(root)


def test_nothing_to_train_on(tmp_path):
    root = kitti_frames(tmp_path, [DONT_CARE, CYCLIST, ""])
    with pytest.raises(KittiDataError, match="none of the 3 frames has an object of Car"):
        data_set(root)
    assert len(data_set(root, test_mode=True)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(writelist="Car"), r"Fix: writelist=\('Car',\)"),
        (dict(writelist=("Truck",)), "writelist names .'Truck'."),
        (dict(bad_images="ignore"), "'raise' or 'skip'"),
        (dict(data_prefix=dict(img="training/image_2")), r"data_prefix has no \['calib'\]"),
        (dict(metainfo=dict(classes="Car")), r"classes=\('Car',\)"),
        (dict(data_prefix=dict(img="pictures", calib="c", label="l"), ann_file=""), "no such folder of pictures"),
        (dict(data_prefix=dict(img="training/image_2", calib="c")), "no such folder of calibrations"),
        (
            dict(data_prefix=dict(img="training/image_2", calib="training/calib", label="l")),
            r"no such folder of labels.*Fix: .*dict\(label=\.\.\.\) to its place, or no label in data_prefix",
        ),
    ],
)
def test_wrong_settings_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        data_set(kitti_frames(tmp_path, [CAR]), **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P1: 1\nP2: 1 2 3\n", "line 2: P2 has 3 numbers, a 3 x 4 projection has 12"),
        ("P2: 1\nP2: 1\n", "2 lines 'P2:'"),
        (f"P2: {'a ' * 12}", "line 1: P2 holds no number"),
        (f"P2: {'nan ' * 12}", "P2 is not finite"),
        ("P2: -7 0 6 0 0 7 2 0 0 0 1 0", r"focal lengths P2\[0,0\]=-7"),
        ("P2: 7 0 6 0 0 7 2 0 0 0 2 0", "last row of P2"),
        ("", r"no line 'P2:' \(keys: none\)"),
    ],
)
def test_a_calibration_at_fault_is_named(tmp_path, text, message):
    path = tmp_path / "000007.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"000007\.txt.*{message}"):
        read_calibration(path)


def test_a_calibration_of_another_shape_and_a_missing_one(tmp_path):
    with pytest.raises(ValueError, match=r"demo: P2 has shape \(3, 3\)"):
        checked_calibration(np.eye(3), "demo")
    with pytest.raises(ValueError, match="no such calibration file"):
        read_calibration(tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00P2")
    with pytest.raises(ValueError, match=r"bytes\.txt is no text file"):
        read_calibration(tmp_path / "bytes.txt")


def test_a_calibration_of_another_editor(tmp_path):
    (tmp_path / "calib.txt").write_bytes(b"\xef\xbb\xbfP2: 7 0 6 0 0 7 2 0 0 0 1 0\r\n")
    assert read_calibration(tmp_path / "calib.txt").focal == (7, 7)


def test_p2_may_stand_alone_and_projects(tmp_path):
    path = tmp_path / "calib.txt"
    path.write_text("P2: 700 0 600 44 0 710 170 0.2 0 0 1 0.003")
    camera = read_calibration(path)
    assert camera.focal == (700, 710)
    assert camera.principal_point == (600, 170)
    np.testing.assert_allclose(camera.project(np.array([[2.0, 1.0, 10.0]])), [[744.4, 241.02]])
    np.testing.assert_allclose(camera.viewing_angle(1300), np.pi / 4)
    own = KittiCalibration.of_focal_length(500, 640, 480)
    np.testing.assert_allclose(own.project(np.array([[0.0, 0.0, 5.0]])), [[320, 240]])


@pytest.fixture
def real_frames():
    """Return the folder of three frames of KITTI."""
    files = require_data("kitti-three-frames")
    return files["kitti/data/object/training/label_2/000000.txt"].parents[2]


ALL = ("Pedestrian", "Car", "Cyclist")


def real_samples(root, *steps, **settings):
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadKittiAnnotations3D"), *steps]
    read = data_set(root, ann_file="", pipeline=pipeline, writelist=ALL, **settings)
    return [read[index] for index in range(len(read))]


def test_real_frames_through_the_whole_pipeline(real_frames):
    """One has a car that is trained, one only a pedestrian, one nothing."""
    packed = real_samples(real_frames, *TO_INPUT, test_mode=True)
    samples = [one["data_samples"] for one in packed]
    assert [sample.img_id for sample in samples] == ["000000", "000001", "000002"]
    assert [sample.ori_shape for sample in samples] == [(370, 1224), (375, 1242), (375, 1242)]
    assert {tuple(one["inputs"].shape) for one in packed} == {(3, 96, 320)}
    # of 000001 the truck is of no trained class and the cyclist's occlusion is unknown; a car is 23 pixels high
    assert [sample.gt_instances.labels.tolist() for sample in samples] == [[0], [], [1]]
    car = samples[2].gt_instances
    assert car.rows.tolist() == [1]
    np.testing.assert_allclose(car.depth, [34.38], rtol=1e-6)
    assert (abs(car.boxes_3d[0, :2] - car.boxes[0, :2]) < 0.01).all()


def test_real_frames_augmented(real_frames):
    """The colours differ, and what a flip and a crop did to a target can be undone."""
    crop = dict(type="KittiFlipCropAffine", size=(320, 96), flip_prob=1, crop_prob=1)
    np.random.seed(0)  # noqa: NPY002
    packed = real_samples(real_frames, dict(type="KittiPhotometricDistort"), crop, dict(type="PackMono3DInputs"))
    plain = real_samples(real_frames, crop, dict(type="PackMono3DInputs"))
    assert any((one["inputs"] != other["inputs"]).any() for one, other in zip(packed, plain, strict=True))
    sample = packed[2]["data_samples"]
    car = sample.gt_instances
    np.testing.assert_allclose(car.depth / sample.crop_scale, [34.38], rtol=1e-6)
    pixels = (car.boxes[0, :2].numpy() * [320, 96] - np.array(sample.affine)[:, 2]) / np.diag(np.array(sample.affine))
    np.testing.assert_allclose([1242 - pixels[0], pixels[1]], [(657.39 + 700.07) / 2, (190.13 + 223.39) / 2], atol=1e-2)


def test_real_frames_pass_the_check(real_frames):
    report = check_folder(real_frames)
    assert (report.faults, report.warnings) == ([], [])
    assert report.frames == {"training": 3}
    assert report.classes["Car"] == 2
    assert report.fit > 0.9


def test_labels_of_real_frames_as_detections_score_100(real_frames):
    """Eighty times the same frames: of fewer than that the thresholds do not reach all 41 recalls."""
    built = METRICS.build(dict(type="KittiMetric3D", evaluated=["Pedestrian", "Car"]))
    built.dataset_meta = dict(classes=(*ALL, "Truck", "Misc"))
    labels = [one["data_samples"].label_path for one in real_samples(real_frames, *TO_INPUT, test_mode=True)]
    for number in range(80):
        for path in labels:
            found = read_objects(path)
            found = KittiObjects(found.names[found.names != "DontCare"], found.values[found.names != "DontCare"])
            columns = dict(
                labels=[built.dataset_meta["classes"].index(name) for name in found.names],
                scores=np.full(len(found), 0.9),
                bboxes=found.boxes,
                bboxes_3d=found.boxes_3d,
                alphas=found.alphas,
            )
            sample = dict(img_id=f"{Path(path).stem}_{number}", label_path=path)
            tensors = {name: torch.as_tensor(np.array(values)) for name, values in columns.items()}
            built.process(None, [sample | dict(pred_instances=tensors)])
    found = built.evaluate(size=240)
    # the pedestrian is easy, the car of 000002 moderate and hard: with 33.26 pixels it is too low for easy
    for name, levels in (("Pedestrian", ("easy", "moderate", "hard")), ("Car", ("moderate", "hard"))):
        for measure in ("AP2D", "APBEV", "AP3D", "AOS"):
            for level in levels:
                assert found[f"kitti/{name}_{measure}_R40_{level}"] == pytest.approx(100)
    assert found["kitti/Car_AP3D_R40_easy"] == 0
