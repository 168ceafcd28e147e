"""CamVid and the generated data set: what the library's own transforms load is what the files say."""

import json
import shutil

import numpy as np
import pytest
from mmdet.registry import DATASETS as DETECTION
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS as SEGMENTATION
from PIL import Image

from mm_vit_comer.datasets import CamVidDataset
from mmrepro import papers
from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.datasets.generated.coco_shapes import ANNOTATIONS, CATEGORIES, PICTURES, coco_folder
from mmrepro.testing import load_config, require_data

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
DRAWN = dict(count=6, size=64)


def camvid(root, **settings):
    for split in ("train", "trainannot"):
        (root / split).mkdir()
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.new("RGB", (4, 3)).save(root / "train/a.png")
    Image.fromarray(labels).save(root / "trainannot/a.png")
    init_default_scope("mmseg")
    return CamVidDataset(data_root=str(root), pipeline=LOAD, **settings)


def test_camvid_has_eleven_classes_and_leaves_void_out(tmp_path):
    data = camvid(tmp_path)
    assert len(data.metainfo["classes"]) == len(data.metainfo["palette"]) == 11
    assert data[0]["gt_seg_map"].ravel().tolist() == [*range(11), 255]


def test_some_of_camvids_classes(tmp_path):
    data = camvid(tmp_path, metainfo=dict(classes=("car", "road")))
    labels = data[0]["gt_seg_map"].ravel()
    assert (labels[8], labels[3], set(labels)) == (0, 1, {0, 1, 255})


def test_camvid_that_is_nowhere_names_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}.*camvid.*train.*Fix: put the folder CamVid"):
        CamVidDataset()


def test_camvid_itself():
    require_data("camvid")
    init_default_scope("mmseg")
    for split in ("train", "val"):
        data = CamVidDataset(split, pipeline=LOAD)
        sample = data[0]
        assert sample["img"].shape == (360, 480, 3)
        assert sample["gt_seg_map"].shape == (360, 480)
        assert set(np.unique(sample["gt_seg_map"])) <= {*range(11), 255}


def test_generated_label_maps_are_loaded():
    init_default_scope("mmseg")
    data = SEGMENTATION.build(dict(type="GeneratedSegDataset", generate=DRAWN, pipeline=LOAD))
    assert (len(data), data.metainfo["classes"]) == (6, ("ground", "disc", "square", "triangle"))
    found = set().union(*(np.unique(data[index]["gt_seg_map"]).tolist() for index in range(6)))
    assert found == {0, 1, 2, 3}


def test_the_template_of_own_pictures_stops_with_the_file_named(tmp_path):
    config = load_config(papers.find_config("vit_comer", "mask-rcnn_vit-comer_own-coco"))
    init_default_scope(config.default_scope)
    shutil.copytree(coco_folder(**DRAWN), tmp_path, dirs_exist_ok=True)
    settings = dict(
        config.train_dataloader.dataset,
        data_root=str(tmp_path),
        ann_file=ANNOTATIONS,
        data_prefix=dict(img=PICTURES),
        serialize_data=False,
    )
    named = settings | dict(metainfo=dict(classes=tuple(CATEGORIES.values())))
    assert len(DETECTION.build(dict(named))) == DRAWN["count"]
    with pytest.raises(AnnotationError, match=r"instances\.json has no category 'cat', 'dog'.* are 'disc', 'square'"):
        DETECTION.build(dict(settings))
    listed = json.loads((tmp_path / ANNOTATIONS).read_text())
    listed["annotations"][0]["segmentation"][0].pop()
    (tmp_path / ANNOTATIONS).write_text(json.dumps(listed))
    with pytest.raises(AnnotationError, match=r"instances\.json: polygons with an odd number .*annotation 1 of"):
        DETECTION.build(dict(named))
