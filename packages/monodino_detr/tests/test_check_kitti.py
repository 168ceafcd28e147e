"""The command that looks at a folder before a training: what it finds, and that sound folders pass."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from mm_monodino_detr.datasets.kitti_check import check_folder
from mm_monodino_detr.datasets.kitti_frames import KittiDataError
from mmrepro.datasets.generated.kitti_scenes import kitti_folder
from mmrepro.testing import SplitAdapter

_HERE = SplitAdapter(Path(__file__).resolve().parent, {}).part("kitti_files_here")
CAR, SIZE, kitti_frames = _HERE.CAR, _HERE.SIZE, _HERE.kitti_frames

TOOL = Path(__file__).resolve().parents[1] / "tools" / "check_kitti.py"


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("check_kitti_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_a_sound_folder(command, capsys):
    command([str(kitti_folder(count=6, objects=6))])
    said = capsys.readouterr().out
    assert "frames: test 1, train 4, trainval 6, val 2" in said
    assert "Car" in said.splitlines()[1]
    assert "pictures: 400 x 120 7" in said
    assert "focal lengths: 232.4 7" in said
    assert said.endswith("no errors, 0 warnings\n")


def test_a_folder_without_splits(tmp_path):
    root = kitti_frames(tmp_path, [CAR, ""])
    (root / "ImageSets/train.txt").unlink()
    report = check_folder(root)
    assert report.frames == {"training": 2}
    assert report.faults == []


def test_every_error_is_printed_and_the_status_says_so(tmp_path, command, capsys):
    root = kitti_frames(
        tmp_path, [CAR.replace("3.90", "-3.90"), CAR, f"{CAR} 0.5 0.5", CAR.replace("Car", "Boat"), CAR]
    )
    (root / "training/calib/000001.txt").write_text("P1: 1\n")
    (root / "training/image_2/000004.png").unlink()
    (root / "ImageSets/val.txt").write_text("000000\n000009")
    with pytest.raises(SystemExit, match="errors: the folder cannot be used as it is"):
        command([str(root)])
    said = capsys.readouterr().out
    for part in (
        "share 1 frames, the first is 000000",
        "000000.txt, line 1: the size",
        "calib/000001.txt has no line 'P2:'",
        "label_2/000002.txt, line 1: 17 fields",
        "label_2/000003.txt, line 1: the class 'Boat' is not known",
        "image_2/000004.png is missing",
        "image_2/000009.png is missing",
        "calib/000009.txt: there is no such calibration file",
        "label_2/000009.txt cannot be read",
    ):
        assert part in said
    with pytest.raises(SystemExit):
        command([str(root), "--show", "1"])
    assert "errors more (--show N)" in capsys.readouterr().out


def test_names_of_ones_own(tmp_path, command, capsys):
    root = kitti_frames(tmp_path, [CAR.replace("Car", "Boat")])
    with pytest.raises(SystemExit, match="1 error: the folder"):
        command([str(root), "--classes", "Kart"])
    for accepted in (["--classes", "boat"], ["--any-class"]):
        command([str(root), *accepted])
        assert "objects: Boat 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.00 0", "5.00 0", "object 1: 5 is not what it should be: truncated"),
        ("0.00 0", "0.00 7", "object 1: 7 is not what it should be: occluded"),
        (" 8.00 ", " -1.00 ", "object 1: -1 is not what it should be: z, the metres in front"),
        ("0.00 0", "-1 -1", None),  # not known
    ],
)
def test_numbers_that_leave_an_object_out(tmp_path, old, new, message):
    report = spoilt(kitti_frames(tmp_path, [CAR]), "label_2", old, new)
    assert report.faults == []
    assert any(message in line for line in report.warnings) if message else report.warnings == []


def test_dont_care_has_no_numbers(tmp_path):
    text = "DontCare -1 -1 -10 5 5 20 20 -1 -1 -1 -1000 -1000 -1000 -10"
    report = check_folder(kitti_frames(tmp_path, [f"{CAR}\n{text}", text, ""]))
    assert (report.faults, report.warnings) == ([], [])


def test_a_missing_folder_and_a_missing_split(tmp_path, command):
    with pytest.raises(SystemExit, match=r"error: .*no such folder\. Fix: the one that holds training/"):
        command([str(tmp_path / "none")])
    with pytest.raises(KittiDataError, match="no such folder of pictures"):
        check_folder(tmp_path)
    root = kitti_frames(tmp_path, [CAR])
    assert "val.txt cannot be read" in check_folder(root, ["val"]).faults[0]
    assert check_folder(root, ["train.txt"]).frames == {"train": 1}


@pytest.mark.parametrize(("part", "key"), [("calib", "calib"), ("label_2", "label")])
def test_a_missing_folder_of_text_files_is_one_error(tmp_path, command, part, key):
    root = kitti_frames(tmp_path, [CAR, CAR])
    (root / "training" / part).rename(root / "elsewhere")
    with pytest.raises(
        SystemExit, match=rf"error: .*{part}: there is no such folder of .* Fix: .*dict\({key}=\.\.\.\)"
    ):
        command([str(root)])


def spoilt(root, text, old, new):
    """Return the report of a folder whose label files or calibrations say something else."""
    for path in (root / "training" / text).iterdir():
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new))
    return check_folder(root)


def test_labels_that_do_not_fit_the_calibration(tmp_path):
    root = kitti_frames(tmp_path, [CAR])
    report = check_folder(root)
    assert report.warnings == []
    assert report.fit > 0.6
    swapped = spoilt(root, "label_2", "0.60 1.25 8.00", "8.00 1.65 4.00")
    assert swapped.fit < 0.5
    assert any("median IoU" in line for line in swapped.warnings)


def test_pictures_that_were_resized_after_labelling(tmp_path):
    root = kitti_frames(tmp_path, [CAR])
    path = root / "training/image_2/000000.png"
    with Image.open(path) as picture:
        smaller = picture.resize((SIZE[0] // 3, SIZE[1] // 3))
    smaller.save(path)
    said = " ".join(check_folder(root).warnings)
    assert "calib/000000.txt: the optical axis meets the picture" in said
    assert "label_2/000000.txt: 2D boxes reach out of the picture of 66 x 20 pixels" in said


def test_angles_in_degrees(tmp_path):
    report = spoilt(kitti_frames(tmp_path, [CAR]), "label_2", "-1.47", "-84.2")
    assert any("object 1: alpha -1.55 does not follow from rotation_y -84.2" in line for line in report.warnings)
