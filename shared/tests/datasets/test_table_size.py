"""Rows and variates of files, without reading their values."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from mmrepro.datasets.table_size import table_size

CSV = b"date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n2020-01-03,5,6\n"
NUMBERS = b"1,2\n3,4\n5,6\n"
NAMES = {"t.csv": CSV, "t.txt": NUMBERS, "windows.csv": CSV.replace(b"\n", b"\r\n")}
NAMES |= {"no_end.csv": CSV.rstrip(), "blank.txt": NUMBERS + b"\n \n", "semicolons.csv": CSV.replace(b",", b";")}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_text_file(tmp_path, name, packed):
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(NAMES[name]) if packed else NAMES[name])
    assert table_size(path) == (3, 2)


def test_an_array_of_any_width(tmp_path):
    np.savez_compressed(tmp_path / "t.npz", data=np.zeros((4, 3, 2), np.float32))
    assert table_size(tmp_path / "t.npz") == (4, 3)
    np.savez(tmp_path / "u.npz", data=np.zeros((5, 2)))
    assert table_size(tmp_path / "u.npz") == (5, 2)


def test_a_picture_of_many_bands(tmp_path):
    scipy_io = pytest.importorskip("scipy.io", reason="scipy is no dependency of the core")
    scipy_io.savemat(tmp_path / "scene.mat", {"input": np.zeros((4, 3, 5)), "TR": np.zeros((4, 3))})
    assert table_size(tmp_path / "scene.mat") == (12, 5)
    scipy_io.savemat(tmp_path / "other.mat", {"cube": np.zeros((4, 3, 5))})
    scipy_io.savemat(tmp_path / "flat.mat", {"input": np.zeros((4, 3))})
    (tmp_path / "empty.mat").touch()
    for name, text in {"other.mat": "'input'", "flat.mat": r"shape \(4, 3\)", "empty.mat": "not a MATLAB file"}.items():
        with pytest.raises(ValueError, match=text):
            table_size(tmp_path / name)


def test_what_is_no_such_file_says_how(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.zeros((4, 3)))
    np.savez(tmp_path / "flat.npz", data=np.zeros(4))
    (tmp_path / "text.npz").write_bytes(CSV)
    (tmp_path / "plain.csv.gz").write_bytes(CSV)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(CSV)[:-12])
    texts = {"other.npz": "data.npy", "flat.npz": r"shape \(4,\)", "text.npz": "not a zip", "plain.csv.gz": "gzipped"}
    for name, text in (texts | {"cut.csv.gz": "ended before"}).items():
        with pytest.raises(ValueError, match=text):
            table_size(tmp_path / name)
