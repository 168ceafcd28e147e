"""Pictures that are missing, empty, cut off or no pictures are found, by a listing and by the ends of each file."""

import pytest
from PIL import Image

from mmrepro.datasets.image_files import decoding_fault, fault_of_file, missing_files

SIZE = (40, 30)


def test_missing_files_are_listed_once_for_each_folder(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b/c.png"):
        (tmp_path / name).write_bytes(b"x")
    paths = [str(tmp_path / name) for name in ("a.png", "b/c.png", "b/a.png", "c/a.png", "a.png/b.png")]
    assert list(missing_files(paths)) == paths[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_ends_of_a_file_tell_what_is_wrong(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert fault_of_file(path) == "missing"
    Image.new("RGB", SIZE).save(path)
    assert fault_of_file(path) is None
    whole = path.read_bytes()
    for content, fault in ((b"", "empty"), (b"<html>404</html>", "no picture"), (whole[: len(whole) // 2], "cut off")):
        path.write_bytes(content)
        assert fault_of_file(path) == fault
    assert "cannot be decoded" in decoding_fault(path)


def test_other_formats_are_only_looked_at_for_emptiness(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    assert fault_of_file(path) is None
    path.write_bytes(b"")
    assert fault_of_file(path) == "empty"


def test_a_whole_photograph_with_a_film_after_it_is_in_order(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", SIZE).save(path)
    path.write_bytes(path.read_bytes() + bytes(9000))
    assert fault_of_file(path) is None
    assert decoding_fault(path) is None


def test_a_picture_too_large_for_pillow_cannot_be_decoded(tmp_path, monkeypatch):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "cannot be decoded (Image size" in decoding_fault(tmp_path / "a.png")
