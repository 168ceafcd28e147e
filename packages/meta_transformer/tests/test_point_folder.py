"""Clouds of one's own: files of several kinds, classes by folder, and what is wrong with a file."""

import numpy as np
import pytest

from mm_meta_transformer.datasets.point_folder import PointFolderDataset
from mm_meta_transformer.datasets.read_cloud import CloudError, read_cloud

POINTS = np.array([[0.5, 1, -2], [3, 4, 5]], np.float32)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xyz", "0.5 1 -2\n3 4 5\n"),
        ("a.txt", "# x y z red\n\n0.5, 1, -2, 255\n3, 4, 5, 0"),
        ("a.csv", "//x;y;z;class\n0.5;1;-2;wall\n3;4;5;floor\n"),
    ],
)
def test_a_text_is_read_whatever_stands_between_and_behind_its_numbers(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(read_cloud(tmp_path / name), POINTS)
    assert read_cloud(tmp_path / name).dtype == np.float32


def test_an_array_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.hstack([POINTS, POINTS]).astype(np.float64))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.npy"), POINTS)
    (tmp_path / "a.npy").rename(tmp_path / "B.NPY")
    np.testing.assert_array_equal(read_cloud(tmp_path / "B.NPY"), POINTS)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1 2 3\n1 2\n", "line 2: 2 numbers. Fix: x, y and z"),
        ("x y z\n1 2 3\n", "line 1: could not convert string to float: 'x'. Fix: .* a line that begins with #"),
        ("1 2 3\n1 nan 3\n", "point 1 is .*nan.* Fix: leave it out"),
        ("# nothing\n", "has no point"),
    ],
)
def test_a_text_that_is_no_cloud_is_named_with_its_line(tmp_path, text, what):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(CloudError, match=f"bad.txt.*{what}"):
        read_cloud(tmp_path / "bad.txt")


def test_an_array_that_is_no_cloud_is_named(tmp_path):
    np.save(tmp_path / "bad.npy", np.zeros((4, 2)))
    with pytest.raises(CloudError, match=r"bad.npy is float64 of \(4, 2\).*Fix: numbers \(N, 3\)"):
        read_cloud(tmp_path / "bad.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "bad.npy").read_bytes()[:90])
    with pytest.raises(CloudError, match=r"cut.npy cannot be read as an array"):
        read_cloud(tmp_path / "cut.npy")
    with pytest.raises(FileNotFoundError, match=r"none.txt: no such file"):
        read_cloud(tmp_path / "none.txt")


def test_folders_are_classes(tmp_path):
    for name in ("table", "chair", "_notes"):
        (tmp_path / name).mkdir()
        np.savetxt(tmp_path / name / "1.txt", POINTS)
        (tmp_path / name / "readme.md").write_text("no cloud")
    clouds = PointFolderDataset(str(tmp_path))
    assert clouds.metainfo["classes"] == ("chair", "table")
    assert [(one["path"][-11:], one["gt_label"]) for one in (clouds[0], clouds[1])] == [
        ("chair/1.txt", 0),
        ("table/1.txt", 1),
    ]
    np.testing.assert_array_equal(clouds[0]["points"], POINTS)
    other = PointFolderDataset(str(tmp_path), metainfo=dict(classes=("table",)))
    assert [other[at]["gt_label"] for at in range(len(other))] == [0]


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        PointFolderDataset(str(tmp_path / "nowhere"))
    (tmp_path / "chair").mkdir()
    with pytest.raises(ValueError, match=r"has no file that ends with .npy, .txt, .xyz, .csv in chair"):
        PointFolderDataset(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has no folder sofa; it has chair"):
        PointFolderDataset(str(tmp_path), metainfo=dict(classes=("chair", "sofa")))
