"""Pictures that go into an inferencer: which are taken, and what is said where one cannot be."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmrepro.engine.errors import UserError

pytest.importorskip("mmcv", reason="mmcv is no dependency of the core")

from mmrepro.pictures import listed, pixels, require_distinct, single, stem_of, with_named_errors

ARRAY = np.zeros((4, 5, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("B.PNG", "a.jpg", "c.pgm"):
        Image.new("L", (5, 4), 90).save(tmp_path / name)
    return tmp_path


def test_a_folder_gives_pictures_of_every_case_and_no_hidden_ones(folder):
    (folder / "._a.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    names = ("B.PNG", "a.jpg", "c.pgm")
    assert listed(folder) == [str(folder / name) for name in names]
    assert listed(str(folder)) == listed(folder)


def test_files_arrays_addresses_and_folders_may_be_mixed(folder):
    address = "https://example.org/a.jpg?size=5"
    given = [folder / "a.jpg", ARRAY, address, folder]
    found = listed(one for one in given)
    assert found[0] == str(folder / "a.jpg")
    assert found[1] is ARRAY
    assert found[2] == address
    assert len(found) == 6
    assert listed(ARRAY)[0] is ARRAY


@pytest.mark.parametrize("given", [None, b"abc", [3], [[ARRAY]]])
def test_what_is_no_picture_is_named(given):
    with pytest.raises(UserError, match=r"(NoneType|int|list) is no picture\. Fix: give a file, a folder or an array"):
        listed(given)


@pytest.mark.parametrize(
    "array", [ARRAY[..., 0], ARRAY.astype(float), ARRAY[:0], np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3), bool)]
)
def test_an_array_that_is_no_picture_is_refused(array):
    with pytest.raises(UserError, match=r"an array is \(.*\. Fix: an array must be \(H, W, 3\) in uint8, blue first"):
        listed(array)


def test_files_that_are_none_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture .*nowhere"):
        listed(tmp_path / "nowhere.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no picture in .*empty"):
        listed(tmp_path / "empty")
    for content, fault in (
        (b"", "empty"),
        (b"<html>", "no picture"),
        ((folder / "a.jpg").read_bytes()[:99], "cut off"),
    ):
        (folder / "a.jpg").write_bytes(content)
        with pytest.raises(UserError, match=rf"a\.jpg cannot be read: {fault}\. Fix: leave it out or write it again"):
            listed(folder)


def test_only_one_is_explained(folder):
    assert single(folder / "a.jpg") == str(folder / "a.jpg")
    with pytest.raises(UserError, match=r"these are 3 pictures\. Fix: give them one by one"):
        single(folder)


def test_pixels_are_blue_first_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: viewers rotate by 90 degrees
    Image.new("RGB", (64, 48), "red").save(tmp_path / "turned.png", exif=exif)
    found = pixels(str(tmp_path / "turned.png"))
    assert found.shape == (64, 48, 3)
    assert found[0, 0].tolist() == [0, 0, 255]
    assert pixels(ARRAY) is ARRAY


def test_pixels_that_cannot_be_read_are_named(tmp_path):
    for name in ("damaged.png", "nowhere.png"):
        (tmp_path / "damaged.png").write_bytes(b"\x89PNG")
        with pytest.raises(UserError, match=rf"{name} cannot be read: .*Fix"):
            pixels(str(tmp_path / name))


def test_results_are_called_as_their_files(tmp_path):
    assert stem_of("b/a.tar.png") == "a.tar"
    assert stem_of("https://example.org/a.jpg?size=5.5") == "a"
    assert stem_of(ARRAY, 3) == "00000003"


def test_results_that_would_replace_one_another_are_refused():
    require_distinct([ARRAY, "a.png", "b.png", ARRAY])
    require_distinct([])
    with pytest.raises(UserError, match=r"^x/a\.png and y/a\.jpg would be written under one name\. Fix: "):
        require_distinct(["x/a.png", "b.png", "y/a.jpg", "z/a.bmp"])
    require_distinct(["x/a.png", "y/a.jpg"], name_of=str)


def raising(error):
    def read(results):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (raising(AssertionError()), "damaged, or no picture"),
        (raising(AttributeError("'NoneType' object has no attribute 'shape'")), "damaged, or no picture"),
        (raising(OSError("the server said 404")), "the server said 404"),
        (lambda results: None, "damaged, or no picture"),
    ],
)
def test_a_loader_names_its_file(read, said):
    loader = SimpleNamespace(from_file=read)
    pipeline = SimpleNamespace(transforms=[loader, SimpleNamespace()])
    assert with_named_errors(pipeline) is pipeline
    with pytest.raises(UserError, match=rf"a\.png cannot be read: {said}\. Fix"):
        loader.from_file(dict(img_path="a.png"))


def test_a_loader_that_can_read_gives_what_it_read():
    loader = SimpleNamespace(from_file=lambda results: results | dict(img=ARRAY))
    with_named_errors(SimpleNamespace(transforms=[loader]))
    assert loader.from_file(dict(img_path="a.png"))["img"] is ARRAY
