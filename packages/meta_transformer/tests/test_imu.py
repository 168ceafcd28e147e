"""Inertial windows: scaled by the training part, whole, and wrong files named with line and fix."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mm_meta_transformer.datasets.imu import CHANNELS, InertialFileError, UCIHARDataset
from mmrepro.datasets.generated.gait import ACTIVITIES, gait_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(gait_folder(train=12, test=6), tmp_path / "har"))


def test_windows_are_the_files_scaled_by_the_training_part(folder):
    train, test = (UCIHARDataset(str(folder), split) for split in ("train", "test"))
    assert (len(train), len(test), list(train.metainfo["classes"])) == (12, 6, list(ACTIVITIES))
    windows = np.stack([train[i]["series"] for i in range(12)])
    assert (windows.shape, windows.dtype) == ((12, 128, 6), np.float32)
    np.testing.assert_allclose(windows.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(windows.std((0, 1)), 1, atol=1e-5)
    raw = {
        split: np.loadtxt(folder / split / "Inertial Signals" / f"{CHANNELS[3]}_{split}.txt")
        for split in ("train", "test")
    }
    expected = (raw["test"][4] - raw["train"].mean()) / raw["train"].std()
    np.testing.assert_allclose(test[4]["series"][:, 3], expected, rtol=1e-4, atol=1e-5)
    assert [train[i]["gt_label"] for i in range(7)] == [0, 1, 2, 3, 4, 5, 0]
    assert {train[i]["person"] for i in range(12)}.isdisjoint(test[i]["person"] for i in range(6))


def test_channels_are_the_users_choice(folder):
    windows = UCIHARDataset(str(folder), "train", channels=("body_acc_x", "body_gyro_z"))
    assert windows[0]["series"].shape == (128, 2)
    with pytest.raises(ValueError, match=r"channels='body_acc_x' is no list"):
        UCIHARDataset(str(folder), "train", channels="body_acc_x")


def replace_line(path: Path, line: int, text: str | None) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line : line + 1] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("test/y_test.txt", "7", r"y_test\.txt, line 3: activity 7 is not one of \[1, 2, 3, 4, 5, 6\]"),
        ("test/y_test.txt", "x", r"y_test\.txt, line 3: 'x' is no whole number"),
        ("test/y_test.txt", None, r"y_test\.txt has 5 lines for 6 windows"),
        ("test/Inertial Signals/body_gyro_x_test.txt", None, r"body_gyro_x_test\.txt has 5 windows, total_acc_x 6"),
        ("test/Inertial Signals/body_gyro_x_test.txt", "1 2", r"body_gyro_x_test\.txt, line 3: 2 numbers, not 128"),
        ("test/Inertial Signals/body_gyro_x_test.txt", "a " * 128, r"body_gyro_x_test\.txt: could not convert"),
        ("test/Inertial Signals/body_gyro_x_test.txt", "nan " * 128, r"line 3: not a finite number\. Fix"),
        ("activity_labels.txt", "SITTING", r"activity_labels\.txt, line 3: 'SITTING'\. Fix: write a number and a name"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_fix(folder, file, text, message):
    replace_line(folder / file, 2, text)
    with pytest.raises(InertialFileError, match=message):
        UCIHARDataset(str(folder), "test")


def test_a_missing_file_says_where_the_set_comes_from(folder):
    (folder / "train" / "Inertial Signals" / "total_acc_y_train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"total_acc_y_train\.txt: no such file\. Fix: .*uci\.edu"):
        UCIHARDataset(str(folder), "train")
    with pytest.raises(ValueError, match=r"split='val' is not known"):
        UCIHARDataset(str(folder), "val")


def test_a_file_that_was_mended_is_read_again(folder):
    before = UCIHARDataset(str(folder), "train")[0]["series"]
    replace_line(folder / "train" / "Inertial Signals" / "total_acc_x_train.txt", 0, "9 " * 128)
    after = UCIHARDataset(str(folder), "train")[0]["series"]
    assert (before[:, 0] != after[:, 0]).all()
    assert np.array_equal(before[:, 1:], after[:, 1:])
