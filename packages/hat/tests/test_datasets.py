"""Pairs, lists, LMDB folders, benchmark sets, transforms and the sampler."""

from __future__ import annotations

import builtins
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS, DATASETS
from mmengine.runner import Runner
from PIL import Image

from mm_hat.datasets import (
    BasicImageDataset,
    DegradedImageDataset,
    EnlargedSampler,
    ImageNetSRDataset,
    SRBenchmarkDataset,
    SRBenchmarkSets,
    imresize,
)
from mm_hat.datasets import lmdb_images as lmdb_folders
from mm_hat.datasets import transforms as sr
from mm_hat.datasets.benchmark import DEGRADED, REGENERATED, STORED, find_pairs
from mm_hat.datasets.paired import read_list, resolve_root
from mm_hat.datasets.sub_images import write_lmdb
from mmrepro.datasets import registry
from mmrepro.testing.data import require_data

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
LOADS = [dict(type="SRLoadImageFromFile", key=key) for key in ("img", "gt")]
FULL = [*LOADS, dict(type="SRCropLike", scale=2), dict(type="SRPackInputs")]
CROPPED = [*LOADS, dict(type="SRPairedRandomCrop", gt_patch_size=8, scale=2), dict(type="SRFlip"), FULL[-1]]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def pairs(tmp_path):
    """Three pairs at x2, one of them in a folder of its own."""
    for number, name in enumerate(("a", "b", "sub/c")):
        save(tmp_path / f"gt/{name}.png", noise(24, 20, 3, seed=number))
        save(tmp_path / f"lq/{name}x2.png", noise(12, 10, 3, seed=number + 9))
    return tmp_path


def paired(root: Path, **arguments: object) -> BasicImageDataset:
    settings = dict(data_prefix=dict(img="lq", gt="gt"), filename_tmpl=dict(img="{}x2"), pipeline=FULL, scale=2)
    settings["serialize_data"] = False  # it collects garbage, which takes half a second
    return BasicImageDataset(**(settings | dict(data_root=str(root)) | arguments))


def test_folders_are_paired_by_name(pairs):
    dataset = paired(pairs)
    assert [dataset.get_data_info(i)["key"] for i in range(3)] == ["a", "b", "sub/c"]
    sample = dataset[2]
    np.testing.assert_array_equal(sample["inputs"].numpy(), noise(12, 10, 3, seed=11).transpose(2, 0, 1))
    np.testing.assert_array_equal(sample["data_samples"].gt_img.numpy(), noise(24, 20, 3, seed=2).transpose(2, 0, 1))
    assert sample["data_samples"].scale == 2
    assert sample["data_samples"].gt_path == str(pairs / "gt/sub/c.png")


def test_a_list_chooses_the_images_and_their_order(pairs):
    (pairs / "list.txt").write_text("sub/c.png (24,20,3)\n\na.png 7\n")
    dataset = paired(pairs, ann_file="list.txt")
    assert [dataset.get_data_info(i)["img_path"] for i in range(2)] == [
        str(pairs / "lq/sub/cx2.png"),
        str(pairs / "lq/ax2.png"),
    ]
    assert dataset[0]["inputs"].shape == (3, 12, 10)


def test_names_with_blanks_and_capitals_are_read_from_a_list(tmp_path):
    (tmp_path / "list.txt").write_text("my picture.PNG (4,4,3)\nn01440764/n01440764_18.JPEG\n")
    assert read_list(tmp_path / "list.txt") == ["my picture.PNG", "n01440764/n01440764_18.JPEG"]


def test_an_lmdb_folder_gives_the_same_samples(pairs):
    pytest.importorskip("lmdb")
    for side in ("gt", "lq"):
        assert write_lmdb(pairs / side, pairs / f"{side}.lmdb") == 3
    stored = paired(pairs, data_prefix=dict(img="lq.lmdb", gt="gt.lmdb"))
    stored = pickle.loads(pickle.dumps(stored))  # as a worker gets it
    for one, other in zip(stored, paired(pairs), strict=True):
        assert (one["inputs"] == other["inputs"]).all()
        assert (one["data_samples"].gt_img == other["data_samples"].gt_img).all()
    (pairs / "list.txt").write_text("b.png (24,20,3)\n")
    listed = paired(pairs, data_prefix=dict(img="lq.lmdb", gt="gt.lmdb"), ann_file="list.txt")
    assert listed.get_data_info(0)["img_path"] == f"{pairs}/lq.lmdb/bx2"
    with pytest.raises(KeyError, match="holds no 'nothing'"):
        lmdb_folders.read(pairs / "gt.lmdb", "nothing")


def test_an_lmdb_folder_without_the_package_says_how_to_get_it(pairs, monkeypatch):
    pytest.importorskip("lmdb")
    write_lmdb(pairs / "gt", pairs / "gt.lmdb")
    original = builtins.__import__

    def without_lmdb(name, *rest):
        if name == "lmdb":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_lmdb)
    with pytest.raises(ImportError, match="pip install lmdb"):
        lmdb_folders.read(pairs / "gt.lmdb", "a")


def test_sides_with_other_images_are_refused(pairs):
    (pairs / "lq/bx2.png").rename(pairs / "lq/dx2.png")
    with pytest.raises(ValueError, match=r"only the first has d, only the second has b"):
        paired(pairs)
    with pytest.raises(ValueError, match=r"not named '\{\}x4'"):
        paired(pairs, filename_tmpl=dict(img="{}x4"))


def test_what_is_missing_is_named(pairs):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder"):
        paired(pairs, data_prefix=dict(img="nowhere", gt="gt"))
    with pytest.raises(FileNotFoundError, match=r"list\.txt: no such list"):
        paired(pairs, ann_file="list.txt")
    (pairs / "list.txt").write_text("a.png\nb\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 2: 'b' names no picture"):
        paired(pairs, ann_file="list.txt")
    (pairs / "list.txt").write_text("z.png\n")
    with pytest.raises(FileNotFoundError, match=r"zx2\.png: no such picture"):
        paired(pairs, ann_file="list.txt")[0]
    (pairs / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        paired(pairs, data_prefix=dict(gt="empty"))
    with pytest.raises(ValueError, match="img, gt or both"):
        paired(pairs, data_prefix=dict(lq="lq"))


@pytest.mark.parametrize("side", ["gt/a.png", "lq/ax2.png"])
@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"<html>not found</html>", "not a picture")])
def test_a_file_without_a_picture_is_named_through_the_loader(pairs, side, content, said):
    (pairs / side).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{side} .*{said}.*Fix"):
        paired(pairs)[0]


def test_a_truncated_picture_is_named_through_the_loader(pairs):
    content = (pairs / "gt/a.png").read_bytes()
    (pairs / "gt/a.png").write_bytes(content[:-200])
    with pytest.raises(ValueError, match=r"gt/a\.png .* read completely"):
        paired(pairs)[0]


@pytest.mark.parametrize("transform", [sr.CropLike(2), sr.PairedRandomCrop(8, 2)])
@pytest.mark.parametrize("size", [(22, 20), (28, 20), (24, 17)])
def test_sizes_that_are_no_pair_are_an_error_that_names_both_files(transform, size):
    sample = {"img": noise(12, 10, 3), "gt": noise(*size, 3), "img_path": "low/a.png", "gt_path": "high/a.png"}
    with pytest.raises(sr.PairSizeError, match=r"high/a\.png is .* low/a\.png is 12x10 .* at scale 2"):
        transform(sample)


def test_a_relative_root_is_found_below_the_data_root(pairs, monkeypatch):
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(pairs.parent))
    assert resolve_root(pairs.name) == str(pairs)
    assert len(paired(pairs, data_root=pairs.name)) == 3
    assert resolve_root("nowhere") == "nowhere"


def test_patches_of_both_images_show_the_same_place():
    low = noise(15, 13, 3)
    for seed in range(20):
        random.seed(seed)
        sample = {"img": low, "gt": low.repeat(3, 0).repeat(3, 1), "img_path": "", "gt_path": ""}
        steps = [sr.PairedRandomCrop(12, 3), sr.Flip("horizontal"), sr.Flip("vertical"), sr.RandomTransposeHW()]
        for step in steps:
            sample = step(sample)
        assert sample["img"].shape == (4, 4, 3)
        np.testing.assert_array_equal(sample["gt"], sample["img"].repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_the_patch_alone_equals_shrinking_the_whole_image(scale):
    truth = noise(30 * scale, 26 * scale, 3)
    for seed in range(12):
        random.seed(seed)
        fast = sr.RandomDownsampledCrop(8 * scale, scale)({"gt": truth, "gt_path": ""})
        random.seed(seed)
        slow = sr.MATLABLikeResize(scale)({"gt": truth})
        slow = sr.PairedRandomCrop(8 * scale, scale)(slow | {"gt_path": "", "img_path": ""})
        np.testing.assert_array_equal(fast["gt"], slow["gt"])
        np.testing.assert_allclose(fast["img"], slow["img"], atol=1e-6)


def test_imagenet_patches_are_floats_and_small_images_are_stretched(tmp_path):
    save(tmp_path / "train/n1/small.png", noise(13, 90, 3))
    dataset = ImageNetSRDataset("train", scale=4, gt_patch_size=32, data_root=str(tmp_path), serialize_data=False)
    sample = dataset[0]
    assert sample["inputs"].shape == (3, 8, 8)
    assert sample["inputs"].is_floating_point()
    assert sample["data_samples"].gt_img.shape == (3, 32, 32)
    assert sample["data_samples"].gt_img.max() <= 1


def test_images_smaller_than_the_patch_are_refused_by_name():
    sample = {"img": noise(4, 4, 3), "gt": noise(8, 8, 3), "img_path": "low.png", "gt_path": "high.png"}
    with pytest.raises(sr.PairSizeError, match=r"low\.png has 4x4 .* patch of 8x8"):
        sr.PairedRandomCrop(16, 2)(dict(sample))
    with pytest.raises(sr.PairSizeError, match=r"high\.png has 4x4"):
        sr.RandomDownsampledCrop(16, 2)(dict(sample))
    with pytest.raises(sr.PairSizeError, match=r"high\.png is 8x8, no multiple of 3"):
        sr.RandomDownsampledCrop(6, 3)(dict(sample))
    with pytest.raises(sr.PairSizeError, match="smaller than one pixel"):
        sr.ModCrop(9)(dict(sample))
    with pytest.raises(ValueError, match="no multiple of the scale"):
        sr.PairedRandomCrop(15, 2)
    with pytest.raises(ValueError, match="'horizontal' or 'vertical'"):
        sr.Flip("diagonal")


def test_the_enlarged_sampler_deals_every_image_out():
    samplers = [EnlargedSampler(range(10), ratio=3, rank=rank, world=2) for rank in range(2)]
    dealt = [index for sampler in samplers for index in sampler]
    assert sorted(dealt) == sorted([*range(10)] * 3)
    first = list(samplers[0])
    samplers[0].set_epoch(1)
    assert list(samplers[0]) != first
    assert len(samplers[0]) == 15
    with pytest.raises(ValueError, match="1 or more"):
        EnlargedSampler(range(10), ratio=0)
    assert DATA_SAMPLERS.get("SREnlargedSampler") is EnlargedSampler


def crops(root: Path, workers: int, rank: int = 0, world: int = 1) -> list[tuple[str, bytes]]:
    """Return the key and the patch of every sample of one epoch, as the training loop of a process sees them."""
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=workers,
            sampler=dict(type="SREnlargedSampler", ratio=6, rank=rank, world=world),
            dataset=dict(
                type="BasicImageDataset",
                data_root=str(root),
                data_prefix=dict(img="lq", gt="gt"),
                filename_tmpl=dict(img="{}x2"),
                pipeline=CROPPED,
                serialize_data=False,
            ),
        ),
        seed=5,
    )
    samples = [sample for batch in loader for sample in zip(batch["data_samples"], batch["inputs"], strict=True)]
    return [(sample.key, image.numpy().tobytes()) for sample, image in samples]


def test_workers_read_in_the_samplers_order_and_draw_as_the_official_ones(pairs):
    """Worker w is seeded with workers * rank + w + seed, as BasicSR's, and reads every second batch of two."""
    found = crops(pairs, workers=2)
    order = list(EnlargedSampler(range(3), ratio=6, seed=5, rank=0, world=1))
    dataset = paired(pairs, pipeline=CROPPED)
    expected = [("", b"")] * len(order)
    for worker in range(2):
        random.seed(worker + 5)
        for place in (place for place in range(len(order)) if place // 2 % 2 == worker):
            sample = dataset[order[place]]
            expected[place] = (sample["data_samples"].key, sample["inputs"].numpy().tobytes())
    assert found == expected
    assert len(set(found)) > 9  # patches differ


def test_processes_share_one_epoch_of_one_process(pairs):
    whole = [key for key, _ in crops(pairs, workers=0)]
    parts = [crops(pairs, 0, rank, 2) for rank in range(2)]
    dealt = [[key for key, _ in part] for part in parts]
    assert [key for both in zip(*dealt, strict=True) for key in both] == whole


def test_a_config_trains_from_it_through_mmengine(pairs):
    crop = dict(type="SRPairedRandomCrop", gt_patch_size=8, scale=2)
    flips = [dict(type="SRFlip"), dict(type="SRFlip", direction="vertical"), dict(type="SRRandomTransposeHW")]
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="SREnlargedSampler", ratio=4),
            dataset=dict(
                type="BasicImageDataset",
                data_root=str(pairs),
                data_prefix=dict(img="lq", gt="gt"),
                filename_tmpl=dict(img="{}x2"),
                pipeline=[*LOADS, crop, *flips, dict(type="SRPackInputs")],
            ),
        ),
        seed=0,
    )
    batches = list(loader)
    assert len(batches) == 6
    assert all(image.shape == (3, 4, 4) for batch in batches for image in batch["inputs"])
    assert all(sample.gt_img.shape == (3, 8, 8) for batch in batches for sample in batch["data_samples"])


def test_the_stored_test_sets_are_found_whatever_the_scale():
    require_data("set5")
    for scale in (2, 3, 4):
        dataset = DATASETS.build(dict(type="SRBenchmarkDataset", name="Set5", scale=scale))
        assert len(dataset) == 5
        sample = dataset[0]
        assert sample["data_samples"].lr_source == STORED
        assert sample["data_samples"].gt_img.shape == (3, *(scale * side for side in sample["inputs"].shape[1:]))
    assert list(DefaultSampler(dataset, shuffle=False)) == list(range(5))


@pytest.mark.parametrize(
    ("truth", "low"),
    [
        ("image_SRF_2/img_001_SRF_2_HR", "image_SRF_2/img_001_SRF_2_LR"),
        ("GTmod2/baby", "LRbicx2/baby"),
        ("GTmod2/baby", "LRbicx2/babyx2"),
        ("HR/baby", "LR_bicubic/X2/babyx2"),
    ],
)
def test_every_layout_of_a_test_set_is_read(tmp_path, truth, low):
    save(tmp_path / f"Mine/{truth}.png", noise(9, 12, 3))
    save(tmp_path / f"Mine/{low}.png", noise(4, 6, 3))
    sample = SRBenchmarkDataset("Mine", 2, data_root=str(tmp_path / "Mine"))[0]
    assert sample["inputs"].shape == (3, 4, 6)
    assert sample["data_samples"].gt_img.shape == (3, 8, 12)
    assert sample["data_samples"].lr_source == STORED


@pytest.mark.parametrize("folder", ["GTmod3", "GT", "HR", "original"])
def test_missing_low_resolution_images_are_made_and_the_sample_says_so(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    image = noise(10, 12, 3)
    save(tmp_path / f"sr/Mine/{folder}/baby.png", image)
    sample = SRBenchmarkDataset("Mine", 3)[0]
    assert sample["data_samples"].lr_source == REGENERATED
    expected = imresize(image[:9, :12], 1 / 3, mode="uint8", border="replicate")
    np.testing.assert_array_equal(sample["inputs"].numpy(), expected.transpose(2, 0, 1))


def test_urban100_takes_the_full_size_pictures_at_every_scale(tmp_path):
    root = tmp_path / "Urban100"
    for scale, side in ((2, 16), (4, 32)):
        save(root / f"image_SRF_{scale}/img_001_SRF_{scale}_HR.png", noise(side, side, 3))
        save(root / f"image_SRF_{scale}/img_001_SRF_{scale}_LR.png", noise(side // scale, side // scale, 3))
    sides = {s: SRBenchmarkDataset("Urban100", s, data_root=str(root))[0]["inputs"].shape[1] for s in (2, 3, 4)}
    assert sides == {2: 16, 3: 10, 4: 8}


def test_an_incomplete_or_absent_test_set_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Nowhere at scale 2 was not found; searched .*sr/Nowhere"):
        SRBenchmarkDataset("Nowhere", 2)
    save(tmp_path / "GTmod2/a.png", noise(8, 8, 3))
    save(tmp_path / "GTmod2/b.png", noise(8, 8, 3))
    save(tmp_path / "LRbicx2/a.png", noise(4, 4, 3))
    with pytest.raises(ValueError, match=r"b\.png has no low-resolution image"):
        SRBenchmarkDataset("Mine", 2, data_root=str(tmp_path))


NOISE = dict(type="SRAddGaussianNoise", sigma=25, seed=0)
JPEG = dict(type="SRCompressJPEG", quality=10)


@pytest.mark.parametrize("degradation", [NOISE, JPEG])
def test_pictures_are_degraded_and_keep_their_size(pairs, degradation):
    dataset = DegradedImageDataset(degradation, data_root=str(pairs), data_prefix=dict(gt="gt"), serialize_data=False)
    sample = dataset[0]
    truth = sample["data_samples"].gt_img
    np.testing.assert_array_equal(truth.numpy().transpose(1, 2, 0), noise(24, 20, 3))
    levels = 255 * sample["inputs"] if sample["inputs"].is_floating_point() else sample["inputs"]
    error = (levels.double() - truth).square().mean().sqrt()
    assert 20 < error < 80
    assert (error - 25).abs() < 2 or degradation is JPEG


@pytest.mark.parametrize("degradation", [NOISE, JPEG])
def test_grey_pictures_are_the_luma_and_have_one_channel(pairs, degradation):
    settings = dict(data_root=str(pairs), data_prefix=dict(gt="gt"), serialize_data=False)
    sample = DegradedImageDataset(degradation, grey=True, **settings)[0]
    luma = Image.fromarray(noise(24, 20, 3)).convert("L")
    np.testing.assert_array_equal(sample["data_samples"].gt_img.numpy(), np.asarray(luma)[None])
    assert sample["inputs"].shape == (1, 24, 20)
    if degradation is JPEG:
        luma.save(pairs / "expected.jpg", quality=10)
        np.testing.assert_array_equal(sample["inputs"].numpy()[0], np.asarray(Image.open(pairs / "expected.jpg")))
    patch = DegradedImageDataset(degradation, grey=True, gt_patch_size=8, **settings)[0]
    assert patch["inputs"].shape == patch["data_samples"].gt_img.shape == (1, 8, 8)


def test_grey_is_made_of_bytes_alone():
    with pytest.raises(TypeError, match=r"a\.png is float32, not uint8"):
        sr.Grey()({"gt": np.zeros((4, 4, 3), np.float32), "gt_path": "a.png"})


def test_sets_of_good_pictures_are_degraded_alike_at_every_test(tmp_path):
    save(tmp_path / "Kodak24/kodim01.png", noise(12, 10, 3))
    save(tmp_path / "CBSD68/original/x.png", noise(8, 8, 3))
    for scale, side in ((2, 16), (4, 32)):
        save(tmp_path / f"sr/Urban100/image_SRF_{scale}/img_001_SRF_{scale}_HR.png", noise(side, side, 3))
        save(tmp_path / f"sr/Urban100/image_SRF_{scale}/img_001_SRF_{scale}_LR.png", noise(8, 8, 3))
    names = ["CBSD68", "Kodak24", "Urban100"]
    sets = SRBenchmarkSets(names, 1, str(tmp_path), degradation=NOISE)
    assert [sample["inputs"].shape[1:] for sample in sets] == [(8, 8), (12, 10), (32, 32)]
    assert [sample["data_samples"].set for sample in sets] == names
    assert sets[0]["data_samples"].lr_source == DEGRADED
    assert (sets[0]["inputs"] == sets[0]["inputs"]).all()
    assert sets[0]["inputs"].std() > 0
    with pytest.raises(ValueError, match="scale 1 with degradation None"):
        SRBenchmarkSets(names, 1, str(tmp_path))
    with pytest.raises(ValueError, match="only then"):
        SRBenchmarkSets(names, 2, str(tmp_path), degradation=NOISE)


def test_pictures_alone_are_no_test_set_at_another_scale(tmp_path):
    save(tmp_path / "Kodak24/kodim01.png", noise(12, 10, 3))
    with pytest.raises(FileNotFoundError, match="Kodak24 at scale 2 was not found"):
        SRBenchmarkDataset("Kodak24", 2, data_root=str(tmp_path / "Kodak24"))


def test_every_set_that_a_config_names_is_registered_and_can_be_had():
    configs = [Config.fromfile(path) for path in sorted((CONFIGS / "_base_/datasets").glob("*.py"))]
    configs += [Config.fromfile(path) for path in sorted((CONFIGS / "hat").glob("*dfwb*.py"))]
    used = {config.train_dataloader.dataset.data_root for config in configs if "train_dataloader" in config}
    tested = [config.test_dataloader.dataset for config in configs if "test_dataloader" in config]
    used |= {name for dataset in tested for name in dataset.get("names", ())}
    assert len(used) > 14
    for name in used:
        data = registry.get(name)
        assert data.licence
        assert all(file.url or data.instructions for file in data.files), name
        places = {Path(file.path).parts[0] for file in data.files} | set(data.folders)
        assert places & {"sr", name, "."}, name


def test_the_data_of_every_row_are_what_its_test_reads(tmp_path):
    rows = yaml.safe_load((CONFIGS / "hat/metafile.yml").read_text())["Models"]
    rows = {(result["Dataset"], result["Data"]) for row in rows for result in row["Results"]}
    assert ("Set14 x2", "set14_x2") in rows
    for number, (dataset, data) in enumerate(sorted(rows)):
        name, scale = dataset.rsplit(" x", 1)
        if name not in ("Set5", "Set14", "BSD100", "Urban100", "Manga109"):
            continue
        root = tmp_path / str(number)
        for file in registry.get(data).files:
            place = root / file.path
            whole = f"img_001_SRF_{place.name[-1]}_HR.png"
            paths = [place] if file.pictures is None else [place / whole, place / whole.replace("HR", "LR")]
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        pairs, source = find_pairs(name, int(scale), root / "sr" / name)
        assert pairs, (dataset, data)
        made = name == "Manga109" or (name == "Urban100" and scale != "4")
        assert source == (REGENERATED if made else STORED)
