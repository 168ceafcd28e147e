"""Folders of one's own pictures and label maps."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mm_vit_comer.datasets import FolderSegDataset
from mm_vit_comer.datasets.label_rules import LabelError

CLASSES = ("ground", "thing")


@pytest.fixture
def root(tmp_path):
    for name in ("images/a.jpg", "images/b.PNG", "images/deep/c.png", "masks/a.png", "masks/b.png", "masks/deep/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(path)
    init_default_scope("mmseg")
    return tmp_path


def build(root, **settings):
    prefix = dict(img_path="images", seg_map_path="masks")
    defaults = dict(data_root=str(root), data_prefix=prefix, metainfo=dict(classes=CLASSES), serialize_data=False)
    return FolderSegDataset(**{**defaults, **settings})


def names(data):
    return [data.get_data_info(index)["img_path"].rsplit("images/")[-1] for index in range(len(data))]


def test_pictures_of_every_suffix_are_paired_by_name(root):
    data = build(root, pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")])
    assert names(data) == ["a.jpg", "b.PNG", "deep/c.png"]
    for index in range(3):
        entry = data.get_data_info(index)
        assert entry["seg_map_path"].rsplit("masks/")[-1].split(".")[0] == names(data)[index].split(".")[0]
    assert data[2]["gt_seg_map"].shape == data[2]["img"].shape[:2]


def test_a_list_chooses_pictures_in_its_order(root):
    (root / "list.txt").write_text("deep/c\na.jpg\n\n")
    assert names(build(root, ann_file="list.txt")) == ["deep/c.png", "a.jpg"]
    (root / "list.txt").write_text("lost\n")
    with pytest.raises(LabelError, match=r"list\.txt names lost, which is no picture of .*images"):
        build(root, ann_file="list.txt")
    with pytest.raises(LabelError, match=r"there is no list .*other\.txt"):
        build(root, ann_file="other.txt")


def test_without_label_maps_it_can_be_tested(root):
    data = build(root, data_prefix=dict(img_path="images"), test_mode=True)
    assert len(data) == 3
    assert "seg_map_path" not in data.get_data_info(0)


def test_a_picture_without_label_map_is_named(root):
    (root / "masks/deep/c.png").unlink()
    with pytest.raises(LabelError, match=r"1 of 3 pictures have no label map in .*masks, such as .*images/deep/c\.png"):
        build(root)


def test_label_maps_without_picture_are_left_alone(root):
    (root / "images/a.jpg").unlink()
    assert names(build(root)) == ["b.PNG", "deep/c.png"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(metainfo=None), "the classes have no names"),
        (dict(data_prefix=dict(img_path="pictures", seg_map_path="masks")), r"there is no folder '.*pictures'"),
        (dict(seg_map_suffix="_mask.png"), r"masks has no file that ends in _mask\.png"),
    ],
)
def test_what_is_missing_is_named(root, settings, message):
    with pytest.raises(LabelError, match=message):
        build(root, **settings)


def test_two_pictures_of_one_name_are_refused(root):
    (root / "images/a.png").write_bytes((root / "images/b.PNG").read_bytes())
    with pytest.raises(LabelError, match=r"a\.jpg and .*a\.png have the same name"):
        build(root)
