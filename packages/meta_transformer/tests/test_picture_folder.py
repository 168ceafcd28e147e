"""Pictures of one's own: the order of classes, files of several kinds, and pictures that cannot be read."""

import numpy as np
import pytest
from mmpretrain.registry import DATASETS, TRANSFORMS
from PIL import Image

from mm_meta_transformer.datasets.data_error import DataError


def folder_of_pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 6, 3), 90, np.uint8)).save(root / name)
    return root


def picture_set(root, **settings):
    return DATASETS.build(dict(type="PictureFolderDataset", data_root=str(root), **settings))


def names_and_labels(found):
    samples = [found.get_data_info(number) for number in range(len(found))]
    return [(sample["img_path"].rpartition("/")[2], sample["gt_label"]) for sample in samples]


def test_labels_follow_classes_not_the_alphabet(tmp_path):
    folder_of_pictures(tmp_path, "day/d.png", "night/n.webp", "night/b.JPG", ".checkpoints/x.png", "_old/y.png")
    (tmp_path / "day" / "notes.txt").write_text("no picture")
    (tmp_path / "day" / "._d.png").write_text("what some file managers leave")
    assert names_and_labels(picture_set(tmp_path)) == [("d.png", 0), ("b.JPG", 1), ("n.webp", 1)]
    turned = picture_set(tmp_path, metainfo=dict(classes=("night", "day")))
    assert names_and_labels(turned) == [("b.JPG", 0), ("n.webp", 0), ("d.png", 1)]
    assert turned.metainfo["classes"] == ("night", "day")


def test_folders_that_are_not_there_are_named(tmp_path, monkeypatch):
    folder_of_pictures(tmp_path, "day/d.png", "night/n.png")
    with pytest.raises(FileNotFoundError, match=r"has no folder cat, dog; it has day, night\. Fix: classes"):
        picture_set(tmp_path, metainfo=dict(classes=("cat", "dog")))
    with pytest.raises(FileNotFoundError, match=r"val is no folder\. Fix: data_root"):
        picture_set(tmp_path / "val")
    (tmp_path / "dusk").mkdir()
    with pytest.raises(DataError, match=r"no file that ends with \.bmp, .* in dusk\. Fix"):
        picture_set(tmp_path, metainfo=dict(classes=("dusk",)))
    said = []
    monkeypatch.setattr(
        "mm_meta_transformer.datasets.class_folders.print_log",
        lambda text, *args: said.append(text.rpartition(": ")[2]),
    )
    picture_set(tmp_path)
    assert said == ["there is no file of dusk"]


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    load = TRANSFORMS.build(dict(type="LoadImageChecked"))
    folder_of_pictures(tmp_path, "a/whole.png", "a/whole.jpg")
    assert load({"img_path": str(tmp_path / "a/whole.png")})["img"].shape == (8, 6, 3)
    whole = (tmp_path / "a/whole.jpg").read_bytes()
    broken = {"empty.png": b"", "words.jpg": b"no picture", "cut.jpg": whole[:-20], "other.tif": b"II*\0 and no more"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    for name in (*broken, "none.png"):
        with pytest.raises(DataError, match=rf"/{name} cannot be read: .+\. Fix: take it out of the data set"):
            load({"img_path": str(tmp_path / name)})
