"""Cutting pictures into squares, their lists, and LMDB folders of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mm_hat.datasets import lmdb_images
from mm_hat.datasets.image_io import ImageReadError
from mm_hat.datasets.imresize import imresize
from mm_hat.datasets.sub_images import cut_folder, list_lines, origins, shrink_folder, write_list, write_lmdb


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for seed, (name, size) in enumerate({"0001": (40, 52), "000001": (24, 30)}.items()):
        Image.fromarray(noise(*size, 3, seed=seed)).save(folder / f"{name}.png")
    return folder


def cut(source, target, **arguments):
    return cut_folder(source, target, **(dict(crop=24, step=12) | arguments))


@pytest.mark.parametrize(
    ("side", "expected"),
    [(480, [0]), (481, [0, 1]), (720, [0, 240]), (1356, [0, 240, 480, 720, 876]), (2040, [*range(0, 1441, 240), 1560])],
)
def test_squares_begin_where_the_official_script_cuts(side, expected):
    assert origins(side, 480, 240) == expected


def test_a_small_rest_may_be_left_over():
    assert origins(490, 480, 240, threshold=10) == [0]


def test_every_square_is_its_part_of_the_picture(pictures, tmp_path):
    calls = []
    assert cut(pictures, tmp_path / "cut", progress=lambda done, of: calls.append((done, of))) == 2 + 3 * 4
    whole = np.asarray(Image.open(pictures / "0001.png"))
    ys, xs = [0, 12, 16], [0, 12, 24, 28]
    for number, (y, x) in enumerate(((y, x) for y in ys for x in xs), 1):
        square = np.asarray(Image.open(tmp_path / f"cut/0001_s{number:03d}.png"))
        np.testing.assert_array_equal(square, whole[y : y + 24, x : x + 24])
    assert calls == [(1, 2), (2, 2)]


def test_two_processes_cut_the_same(pictures, tmp_path):
    assert cut(pictures, tmp_path / "one") == cut(pictures, tmp_path / "two", workers=2)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_low_resolution_pictures_are_cut_at_the_same_places(pictures, tmp_path):
    low = tmp_path / "low"
    assert shrink_folder(pictures, low, 2) == 2
    (low / "0001.png").rename(low / "0001x2.png")  # DIV2K's names
    assert cut(low, tmp_path / "cut_low", scale=2) == cut(pictures, tmp_path / "cut")
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert names == {path.name for path in (tmp_path / "cut_low").iterdir()}
    whole = imresize(np.asarray(Image.open(pictures / "0001.png")), 1 / 2, "uint8", "replicate")
    last = np.asarray(Image.open(tmp_path / "cut_low/0001_s012.png"))
    np.testing.assert_array_equal(last, whole[8:20, 14:26])


def test_an_interrupted_cut_goes_on(pictures, tmp_path):
    target = tmp_path / "cut"
    cut(pictures, target)
    kept = target / "000001_s001.png"
    before = kept.stat().st_mtime_ns
    (target / "0001_s007.png").unlink()
    assert cut(pictures, target) == 14
    assert (target / "0001_s007.png").is_file()
    assert kept.stat().st_mtime_ns == before
    assert not list(target.glob("*.tmp"))


def test_the_list_is_sorted_as_the_published_one(pictures, tmp_path):
    cut(pictures, tmp_path / "cut")
    assert write_list(tmp_path / "cut", tmp_path / "list.txt") == 14
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert lines == list(list_lines(tmp_path / "cut"))
    assert lines[:3] == ["000001_s001.png (24,24,3)", "000001_s002.png (24,24,3)", "0001_s001.png (24,24,3)"]


def test_an_lmdb_folder_has_the_official_layout(pictures, tmp_path):
    lmdb = pytest.importorskip("lmdb")
    cut(pictures, tmp_path / "cut")
    assert write_lmdb(tmp_path / "cut", tmp_path / "cut.lmdb") == 14
    assert {path.name for path in (tmp_path / "cut.lmdb").iterdir()} == {"data.mdb", "lock.mdb", "meta_info.txt"}
    assert (tmp_path / "cut.lmdb/meta_info.txt").read_text().startswith("000001_s001.png (24,24,3) 1\n")
    assert lmdb_images.keys(tmp_path / "cut.lmdb")[0] == "000001_s001"
    with lmdb.open(str(tmp_path / "cut.lmdb"), readonly=True) as environment, environment.begin() as transaction:
        assert transaction.get(b"0001_s012") == (tmp_path / "cut/0001_s012.png").read_bytes()
    with pytest.raises(FileExistsError, match=r"cut\.lmdb is there already"):
        write_lmdb(tmp_path / "cut", tmp_path / "cut.lmdb")


def test_a_failed_lmdb_folder_leaves_nothing(tmp_path):
    pytest.importorskip("lmdb")
    same = [("a", b"1", (1, 1, 3)), ("a", b"2", (1, 1, 3))]
    with pytest.raises(ValueError, match="'a' comes twice"):
        lmdb_images.write(tmp_path / "x.lmdb", same, 2)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"does not end in \.lmdb"):
        lmdb_images.write(tmp_path / "x", [], 0)
    with pytest.raises(FileNotFoundError, match="no such list"):
        lmdb_images.keys(tmp_path)


def test_what_cannot_be_cut_is_named(pictures, tmp_path):
    Image.fromarray(noise(20, 30, 3)).save(pictures / "tiny.png")
    with pytest.raises(ValueError, match=r"tiny\.png: a side of 20 pixels is shorter than the square of 24"):
        cut(pictures, tmp_path / "cut")
    (pictures / "tiny.png").write_text("no picture")
    with pytest.raises(ImageReadError, match=r"tiny\.png is no picture"):
        cut(pictures, tmp_path / "cut")
    (pictures / "tiny.png").unlink()
    Image.fromarray(noise(24, 24, 3)).save(pictures / "0001x2.png")
    with pytest.raises(ValueError, match=r"0001\.png and .*0001x2\.png would have squares of the same name"):
        cut(pictures, tmp_path / "cut")
    with pytest.raises(ValueError, match="multiples of the scale 5"):
        cut(pictures, tmp_path / "cut", scale=5)
    with pytest.raises(ValueError, match=r"000001\.png is 24x30, smaller than one pixel at scale 50"):
        shrink_folder(pictures, tmp_path / "low", 50)
    Image.fromarray(noise(24, 24, 3)).save(pictures / "photograph.jpg")
    with pytest.raises(ValueError, match=r"photograph\.jpg is no PNG"):
        write_lmdb(pictures, tmp_path / "x.lmdb")


def test_low_resolution_pictures_are_counted_while_they_are_made(pictures, tmp_path):
    calls = []
    shrink_folder(pictures, tmp_path / "low", 2, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(1, 2), (2, 2)]


def test_pictures_that_would_overwrite_each_other_are_refused(pictures, tmp_path):
    Image.fromarray(noise(24, 24, 3)).save(pictures / "0001.jpg")
    with pytest.raises(ValueError, match=r"0001\.(jpg|png) and .*0001\.(jpg|png) would both become .*low/0001\.png"):
        shrink_folder(pictures, tmp_path / "low", 2)
    with pytest.raises(ValueError, match="holds the pictures themselves"):
        shrink_folder(pictures, pictures / ".", 2)
    assert len(list(pictures.iterdir())) == 3


def test_a_truncated_picture_leaves_no_squares_and_the_cut_goes_on_when_it_is_whole(pictures, tmp_path):
    content = (pictures / "0001.png").read_bytes()
    (pictures / "0001.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=r"0001\.png is no picture that can be read: .* truncated\. Fix"):
        cut(pictures, tmp_path / "cut")
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"000001_s001.png", "000001_s002.png"}
    (pictures / "0001.png").write_bytes(content)
    assert cut(pictures, tmp_path / "cut") == len(list((tmp_path / "cut").iterdir())) == 14
