"""Scenes: scaling, mirrored borders, neighbouring bands, and files that are none."""

import numpy as np
import pytest
from scipy.io import savemat

from mm_meta_transformer.datasets.hyperspectral import GeneratedSpectraDataset, HyperspectralDataset
from mm_meta_transformer.datasets.hyperspectral_scene import (
    SceneError,
    SceneWarning,
    band_offsets,
    mirrored,
    pixel_bands,
    read_scene,
    scaled,
)

PICTURE = np.arange(4 * 5 * 6, dtype=float).reshape(4, 5, 6)
TRAIN, TEST = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)
TRAIN[0, :2], TEST[3, 2:] = (1, 2), (2, 2, 1)


def file(path, **changes):
    savemat(path / "scene.mat", dict(input=PICTURE, TR=TRAIN, TE=TEST) | changes)
    return path / "scene.mat"


def test_neighbours_of_single_pixels_are_in_order_and_those_of_patches_are_not():
    assert band_offsets(5, 1) == (-2, -1, 0, 1, 2)
    assert band_offsets(5, 3) == (-1, -2, 0, 1, 2)
    with pytest.raises(ValueError, match="near_bands=2 must be odd"):
        band_offsets(2, 1)


def test_the_first_band_has_the_last_ones_below_it():
    bands = pixel_bands(PICTURE, 1, 2, 1, 3)
    own = PICTURE[1, 2]
    assert bands.tolist() == np.stack([np.roll(own, 1), own, np.roll(own, -1)], 1).tolist()


def test_a_patch_lies_round_its_pixel():
    bands = pixel_bands(mirrored(PICTURE, 3), 1, 2, 3, 1)
    assert bands[4].tolist() == PICTURE[0:3, 1:4, 4].ravel().tolist()
    assert mirrored(PICTURE, 5)[0, 2].tolist() == PICTURE[1, 0].tolist()
    for size in (2, 11):
        with pytest.raises(ValueError, match=f"patch_size={size} must be odd, and half of it at most 4"):
            mirrored(PICTURE, size)


def test_bands_are_scaled_over_the_whole_picture_and_flat_ones_counted():
    values = scaled(PICTURE)
    assert values.dtype == np.float32
    assert (values.min((0, 1)) == 0).all()
    assert (values.max((0, 1)) == 1).all()
    flat = PICTURE.copy()
    flat[..., 2] = 7
    with pytest.warns(SceneWarning, match="1 bands have one value only and become 0: 2"):
        assert (scaled(flat)[..., 2] == 0).all()


def test_a_sample_is_its_pixel(tmp_path):
    dataset = HyperspectralDataset(str(file(tmp_path)), "test", serialize_data=False)
    first = dataset.get_data_info(0)
    assert (first["row"], first["column"], first["gt_label"]) == (3, 4, 0)
    assert first["bands"].shape == (6, 1)
    assert first["bands"][:, 0].tolist() == scaled(PICTURE)[3, 4].tolist()
    assert dataset.metainfo["classes"] == ["1", "2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(num_bands=5), "has 6 bands, not 5. Fix: num_bands"),
        (dict(num_classes=16), "has 2 classes, not 16. Fix: num_classes"),
        (dict(keys=("input", "TR", "test")), "has no test; it has input, TR, TE"),
    ],
)
def test_another_scene_than_expected_is_refused(tmp_path, changes, message):
    with pytest.raises(SceneError, match=message):
        HyperspectralDataset(str(file(tmp_path)), "train", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(input=PICTURE[0]), r"input is \(5, 6\), expected \(H, W, bands\)"),
        (dict(TR=TRAIN[:3]), r"TR is \(3, 5\), the picture input \(4, 5, 6\)"),
        (dict(TE=TRAIN), "2 pixels are labelled in TR and in TE, too"),
        (dict(TR=0 * TRAIN), "TR labels no pixel"),
        (dict(TE=TEST + 0.5), r"TE \(4, 5\) must be a map \(H, W\) of whole numbers"),
        (dict(input=np.where(PICTURE == 20, np.nan, PICTURE)), r"pixel \(0, 3\), band 2 is not finite"),
    ],
)
def test_a_scene_that_does_not_fit_together_is_named(tmp_path, changes, message):
    with pytest.raises(SceneError, match=message):
        read_scene(file(tmp_path, **changes))


def test_what_is_no_matlab_file_is_named(tmp_path):
    path = tmp_path / "scene.mat"
    for content in (b"", b"not a matrix at all" * 40):
        path.write_bytes(content)
        with pytest.raises(SceneError, match="cannot be read as a MATLAB file"):
            read_scene(path)
    with pytest.raises(FileNotFoundError, match=r"none\.mat: no such file"):
        read_scene(tmp_path / "none.mat")
    with pytest.raises(ValueError, match="'train' or 'test'"):
        HyperspectralDataset(str(path), "val")


def test_a_generated_scene_is_read_as_a_real_one():
    scene = dict(size=16, bands=12, classes=3, train_per_class=8)
    train, test = (
        GeneratedSpectraDataset(scene, split=split, patch_size=3, near_bands=3, serialize_data=False)
        for split in ("train", "test")
    )
    assert len(train) == 24
    assert train.get_data_info(0)["bands"].shape == (12, 27)
    places = [
        {(one["row"], one["column"]) for one in map(part.get_data_info, range(len(part)))} for part in (train, test)
    ]
    assert not places[0] & places[1]


# labelled pixels of each class of Indian_pines_gt.mat
COUNTS = (46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93)


def unsplit(path, labels):
    savemat(path / "picture.mat", dict(picture=np.arange(3.0 * labels.size).reshape(*labels.shape, 3)))
    savemat(path / "labels.mat", dict(labels=labels))
    return dict(
        data_root=str(path),
        ann_file="picture.mat",
        gt_file="labels.mat",
        keys=("picture", "labels"),
        serialize_data=False,
    )


def indian_pines_labels():
    labels = np.zeros(145 * 145, np.uint8)
    labels[: sum(COUNTS)] = np.repeat(np.arange(1, 17), COUNTS)
    return np.random.default_rng(0).permutation(labels).reshape(145, 145)


def places_of(dataset):
    return {(one["row"], one["column"]): one["gt_label"] for one in map(dataset.get_data_info, range(len(dataset)))}


def test_a_scene_without_a_split_is_split_by_a_seed_as_the_fixed_one_in_numbers(tmp_path):
    labels = indian_pines_labels()
    scene = unsplit(tmp_path, labels)
    train, test = (places_of(HyperspectralDataset(split=one, split_seed=0, **scene)) for one in ("train", "test"))
    assert (len(train), len(test)) == (695, 10249 - 695)
    assert np.bincount(list(train.values())).tolist() == [15 if count <= 50 else 50 for count in COUNTS]
    assert train | test == {(row, column): labels[row, column] - 1 for row, column in np.argwhere(labels).tolist()}
    assert len(train | test) == len(train) + len(test)


def test_the_seed_and_the_counts_decide_what_is_trained_on(tmp_path):
    labels = np.arange(40).reshape(5, 8) % 3
    scene = unsplit(tmp_path, labels) | dict(split="train")
    first, again, other = (
        places_of(HyperspectralDataset(split_seed=seed, train_per_class=4, **scene)) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert np.bincount(list(first.values())).tolist() == [4, 4]
    by_class = HyperspectralDataset(split_seed=0, train_per_class=(2, 5), **scene)
    assert np.bincount(list(places_of(by_class).values())).tolist() == [2, 5]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (dict(), ValueError, r"without a fixed split\. Fix: split_seed=0 .* not comparable with the paper's"),
        (dict(split_seed=0, keys=("input", "TR", "TE")), ValueError, "the picture and of its one label map"),
        (dict(split_seed=0, train_per_class=13), SceneError, r"labels\.mat: of the 13 pixels of class 1, 13 cannot"),
        (dict(split_seed=0, train_per_class=(1, 2, 3)), SceneError, "has 2 classes, train_per_class 3 numbers"),
        (dict(split_seed=0, gt_file="picture.mat"), SceneError, r"picture\.mat has no labels; it has picture"),
        (dict(split_seed=0, gt_file="none.mat"), FileNotFoundError, r"none\.mat: no such file"),
    ],
)
def test_a_scene_without_a_split_needs_a_seed_and_enough_pixels(tmp_path, changes, error, message):
    scene = unsplit(tmp_path, np.arange(40).reshape(5, 8) % 3) | dict(split="train")
    with pytest.raises(error, match=message):
        HyperspectralDataset(**scene | changes)


def test_a_file_without_a_split_says_what_can_be_done(tmp_path):
    scene = unsplit(tmp_path, np.arange(40).reshape(5, 8) % 3)
    with pytest.raises(SceneError, match=r"has no input, TR, TE; it has picture\. Fix: keys .* split_seed"):
        HyperspectralDataset(scene["ann_file"], "train", data_root=scene["data_root"])
    savemat(tmp_path / "labels.mat", dict(labels=np.ones((4, 8))))
    with pytest.raises(SceneError, match=r"labels is \(4, 8\), the picture picture \(5, 8, 3\)"):
        HyperspectralDataset(split="train", split_seed=0, **scene)
