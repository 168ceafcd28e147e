"""Point clouds in their real files, and what is wrong with other files."""

import json

import h5py
import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.modelnet40 import ModelNet40Dataset
from mm_meta_transformer.datasets.s3dis import S3DISDataset
from mm_meta_transformer.datasets.scannet import ScanNetDataset
from mm_meta_transformer.datasets.scanobjectnn import ScanObjectNNDataset
from mm_meta_transformer.datasets.shapenetpart import PARTS, ShapeNetPartDataset


def test_the_published_data_sets_have_their_classes():
    sets = (ModelNet40Dataset, ScanObjectNNDataset, S3DISDataset, ScanNetDataset, ShapeNetPartDataset)
    assert [len(set(one.METAINFO["classes"])) for one in sets] == [40, 15, 13, 20, 50]
    assert sorted(part for parts in PARTS.values() for part in parts) == list(range(50))


@pytest.mark.parametrize("kind", ["GeneratedModelNetDataset", "GeneratedScanObjectNNDataset"])
def test_whole_clouds_have_a_label(kind):
    generate = dict(train=7, test=6, points=32)
    train, test = (DATASETS.build(dict(type=kind, generate=generate, split=split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (7, 6)
    assert [train[at]["gt_label"] for at in range(7)] == [0, 1, 2, 3, 4, 5, 0]
    assert train[0]["points"].shape == (32, 3)
    assert train[0]["points"].dtype == np.float32
    assert train[6]["path"].endswith(".h5[6]")


def test_one_area_of_s3dis_is_tested():
    generate = dict(rooms=6, points=64)
    train, test = (
        DATASETS.build(dict(type="GeneratedS3DISDataset", generate=generate, split=split))
        for split in ("train", "test")
    )
    assert (len(train), len(test)) == (5, 1)
    assert "Area_5" in test[0]["path"]
    assert 1 < train[0]["colours"].max() <= 255


def test_scannets_colours_and_uncounted_points():
    rooms = DATASETS.build(dict(type="GeneratedScanNetDataset", generate=dict(rooms=4, points=512)))
    assert len(rooms) == 3
    colours = np.concatenate([rooms[at]["colours"] for at in range(3)])
    assert 0 <= colours.min() < 100 < colours.max() <= 255
    labels = np.unique(rooms[0]["gt_points"])
    assert labels[0] == -100
    assert set(labels[1:]) <= set(range(20))


def test_objects_have_normals_parts_and_a_category():
    generate = dict(train=2, val=2, test=2, points=64)
    trained, tested = (
        DATASETS.build(dict(type="GeneratedShapeNetPartDataset", generate=generate, split=split))
        for split in ("trainval", "test")
    )
    assert (len(trained), len(tested)) == (4, 2)
    for sample in (trained[0], trained[1], tested[0]):
        name = list(PARTS)[sample["category"]]
        assert name in ("Mug", "Table")
        assert set(sample["gt_points"].tolist()) <= set(PARTS[name])
        np.testing.assert_allclose(np.linalg.norm(sample["colours"], axis=1), 1, atol=1e-3)


def write_clouds(folder, points, labels):
    with h5py.File(folder / "ply_data_train0.h5", "w") as file:
        file["data"], file["label"] = points, labels
    return dict(data_root=str(folder))


def test_clouds_that_make_no_sense_are_named(tmp_path):
    clouds = np.zeros((2, 8, 3), np.float32)
    with pytest.raises(ValueError, match=r"train0.h5: labels from 0 to 40 for 40 classes"):
        ModelNet40Dataset(**write_clouds(tmp_path, clouds, [0, 40]))
    with pytest.raises(ValueError, match=r"data is \(2, 8, 2\).*Fix: \(B, N, 3\)"):
        ModelNet40Dataset(**write_clouds(tmp_path, clouds[..., :2], [0, 1]))
    clouds[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match=r"train0.h5, cloud 1: a coordinate is not finite"):
        ModelNet40Dataset(**write_clouds(tmp_path, clouds, [0, 1]))
    (tmp_path / "ply_data_train0.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"train0.h5 has no arrays data and label, or is damaged"):
        ModelNet40Dataset(data_root=str(tmp_path))


def test_absent_files_and_unknown_splits_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no ply_data_test\*\.h5"):
        ModelNet40Dataset(data_root=str(tmp_path), split="test")
    with pytest.raises(FileNotFoundError, match=r"training_objectdataset_augmentedrot_scale75\.h5 does not exist"):
        ScanObjectNNDataset(data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"has no Area_\*\.npy to train on"):
        S3DISDataset(data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"train has no \.pth files"):
        ScanNetDataset(data_root=str(tmp_path))
    for kind in (ModelNet40Dataset, S3DISDataset, ShapeNetPartDataset):
        with pytest.raises(ValueError, match="split='all' is not known"):
            kind(data_root=str(tmp_path), split="all")


def test_rooms_that_make_no_sense_are_named(tmp_path):
    (tmp_path / "raw").mkdir()
    path, room = tmp_path / "raw" / "Area_1_hall_1.npy", np.zeros((4, 7), np.float32)

    def read(values):
        np.save(path, values)
        return S3DISDataset(data_root=str(tmp_path))[0]

    read(room)
    with pytest.raises(ValueError, match=r"Area_1_hall_1.npy is \(4, 6\).*Fix: 7 columns"):
        read(room[:, :6])
    with pytest.raises(ValueError, match=r"Area_1_hall_1.npy has no points"):
        read(room[:0])
    wrong = room.copy()
    wrong[2, 6] = 13
    with pytest.raises(ValueError, match=r"Area_1_hall_1.npy, row 2: label 13 has no class"):
        read(wrong)
    wrong = room.copy()
    wrong[3, 4] = np.inf
    with pytest.raises(ValueError, match=r"Area_1_hall_1.npy, row 3: a value is not finite"):
        read(wrong)


def test_a_scannet_file_of_something_else_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    for content, message in (
        (dict(coord=torch.zeros(2, 3)), "is no tuple of places, colours and classes"),
        ((np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(2)), r"Fix: \(N, 3\) twice and \(N,\)"),
    ):
        torch.save(content, tmp_path / "train" / "scene.pth")
        with pytest.raises(ValueError, match=message):
            ScanNetDataset(data_root=str(tmp_path))[0]


def test_an_object_of_an_unknown_category_is_named(tmp_path):
    (tmp_path / "train_test_split").mkdir()
    (tmp_path / "synsetoffset2category.txt").write_text("Boat\t0001\n", encoding="utf-8")
    listed = tmp_path / "train_test_split" / "shuffled_train_file_list.json"
    listed.write_text(json.dumps(["shape_data/0001/one"]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"shape_data/0001/one is of no known category"):
        ShapeNetPartDataset(data_root=str(tmp_path), split="train")
