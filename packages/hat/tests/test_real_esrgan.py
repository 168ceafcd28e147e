"""The training data of Real-HAT: files, crops, kernels."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from PIL import Image

from mm_hat.datasets import lmdb_images
from mm_hat.datasets.image_io import ImageReadError
from mm_hat.datasets.real_esrgan import RealESRGANDataset, mirrored
from mm_hat.datasets.sub_images import write_list
from mmrepro import papers

SIDE = 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a small, a large and a wide picture, whose red says the row and whose green the column."""
    (tmp_path / "sub").mkdir()
    for name, (h, w) in {"a.png": (10, 7), "b.png": (40, 50), "sub/c.png": (16, 60)}.items():
        rows, columns = np.indices((h, w))
        image = np.stack([rows, columns, np.full((h, w), 200)], -1).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / name)
    return tmp_path


def names(dataset: RealESRGANDataset) -> list[str]:
    return [Path(path).name for path in dataset.paths]


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


def test_a_sample(folder):
    dataset = DATASETS.build(dict(type="RealESRGANDataset", data_root=str(folder), crop_pad_size=SIDE))
    assert len(dataset) == 3
    for i in range(3):
        sample = dataset[i]
        assert sample["gt"].shape == (3, SIDE, SIDE)
        assert sample["gt"].dtype == torch.uint8
        assert (sample["gt"][2] == 200).all()  # blue stays blue
        for key in ("kernel1", "kernel2", "sinc_kernel"):
            assert sample[key].shape == (21, 21)
            assert sample[key].dtype == torch.float32
            assert sample[key].sum().item() == pytest.approx(1, abs=1e-5)
        assert sample["gt_path"] == dataset.paths[i]


def test_a_seed_gives_the_sample_again(folder):
    dataset = RealESRGANDataset(str(folder), crop_pad_size=SIDE)
    seed(1)
    first = dataset[1]
    seed(1)
    again = dataset[1]
    assert all(torch.equal(first[key], again[key]) for key in first if key != "gt_path")


def test_the_crop_is_a_part_of_the_picture(folder):
    dataset = RealESRGANDataset(str(folder), crop_pad_size=SIDE, use_hflip=False)
    rows, columns = dataset[1]["gt"][:2].long()
    assert (rows.diff(dim=0) == 1).all()
    assert (columns.diff(dim=1) == 1).all()


def test_pictures_are_flipped_and_transposed_when_asked_for(folder):
    def variants(**options) -> set[tuple[int, ...]]:
        dataset = RealESRGANDataset(str(folder), crop_pad_size=SIDE, **options)
        seen = set()
        for number in range(40):
            seed(number)
            row, column = dataset[1]["gt"][:2].int()
            seen.add(tuple(int(d) for d in (row[1, 0] - row[0, 0], row[0, 1] - row[0, 0], column[0, 1] - column[0, 0])))
        return seen

    assert variants(use_hflip=False) == {(1, 0, 1)}
    assert variants() == {(1, 0, 1), (1, 0, -1)}
    assert len(variants(use_rot=True)) > 4


def test_small_pictures_are_mirrored_as_often_as_needed(folder):
    dataset = RealESRGANDataset(str(folder), crop_pad_size=SIDE, use_hflip=False)
    rows, columns = dataset[0]["gt"][:2]
    assert rows[:, 0].tolist() == np.pad(np.arange(10), (0, SIDE - 10), mode="reflect").tolist()
    assert columns[0].tolist() == np.pad(np.arange(7), (0, SIDE - 7), mode="reflect").tolist()
    assert mirrored(1, 3).tolist() == [0, 0, 0]


def test_all_pictures_of_a_folder_or_those_of_a_list(folder):
    assert names(RealESRGANDataset(str(folder))) == ["a.png", "b.png", "c.png"]
    (folder / "list.txt").write_text("sub/c.png (16,60,3)\na.png\n")
    dataset = RealESRGANDataset(str(folder), ann_file="list.txt", crop_pad_size=SIDE)
    assert names(dataset) == ["c.png", "a.png"]
    assert dataset[0]["gt"].shape == (3, SIDE, SIDE)


def test_pictures_of_an_lmdb_folder(folder):
    pytest.importorskip("lmdb")
    images = [("x", (folder / "a.png").read_bytes(), (10, 7, 3)), ("y", (folder / "b.png").read_bytes(), (40, 50, 3))]
    lmdb_images.write(folder / "gt.lmdb", images, 10_000)
    dataset = RealESRGANDataset(str(folder), dict(gt="gt.lmdb"), crop_pad_size=SIDE)
    plain = RealESRGANDataset(str(folder), crop_pad_size=SIDE)
    seed(0)
    stored = dataset[1]["gt"]
    seed(0)
    assert torch.equal(stored, plain[1]["gt"])


def test_a_file_that_cannot_be_opened_is_replaced_by_another(folder, monkeypatch):
    dataset = RealESRGANDataset(str(folder), crop_pad_size=SIDE)
    read = Path.read_bytes
    bad = dataset.paths[0]

    def busy(path: Path) -> bytes:
        if str(path) == bad:
            raise OSError("the server is busy")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", busy)
    random.seed(1)
    assert dataset[0]["gt_path"] != bad
    dataset.paths = [bad]
    with pytest.raises(OSError, match="busy"):
        dataset[0]


def test_bad_files_and_folders_are_named(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        RealESRGANDataset(str(folder), dict(gt="nowhere"))
    (folder / "list.txt").write_text("gone.png\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        RealESRGANDataset(str(folder), ann_file="list.txt")[0]
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes()[:100])
    with pytest.raises(ImageReadError, match=r"a\.png"):
        RealESRGANDataset(str(folder))[0]
    with pytest.raises(ValueError, match="crop_pad_size=0"):
        RealESRGANDataset(str(folder), crop_pad_size=0)


@pytest.fixture
def real(folder, tmp_path, monkeypatch) -> Config:
    """Return Real-HAT's config beside a data root that holds its folder of pictures; its sizes are the real ones."""
    (tmp_path / "root/DFO").mkdir(parents=True)
    (tmp_path / "root/DFO/DFO_sub").symlink_to(folder, target_is_directory=True)
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path / "root"))
    config = Config.fromfile(papers.find_config("hat", "real-hat_8xb4-1m_dfo-x4"))
    config.train_dataloader.update(batch_size=1, num_workers=0, persistent_workers=False)
    return config


def test_the_config_reads_its_folder_and_degrades_it(real):
    loader = Runner.build_dataloader(real.train_dataloader, seed=0)
    assert {Path(path).name for path in loader.dataset.paths} == {"a.png", "b.png", "c.png"}
    batch = next(iter(loader))
    assert batch["gt"][0].shape == (3, 400, 400)
    pair = MODELS.build(real.model.data_preprocessor)(batch, training=True)
    assert pair["inputs"].shape == (1, 3, 64, 64)
    assert pair["data_samples"]["gt_img"].shape == pair["data_samples"]["gt_usm"].shape == (1, 3, 256, 256)


def test_the_config_takes_a_list(real, tmp_path):
    dataset = real.train_dataloader.dataset
    dataset.ann_file = "meta_info.txt"
    with pytest.raises(FileNotFoundError, match=r"DFO/meta_info\.txt: no such list\. Fix"):
        DATASETS.build(dataset)
    write_list(tmp_path / "root/DFO/DFO_sub", tmp_path / "root/DFO/meta_info.txt")
    listed = DATASETS.build(dataset)
    assert names(listed) == ["a.png", "b.png", "c.png"]
    assert listed[1]["gt"].shape == (3, 400, 400)


def test_the_config_without_its_pictures_says_where_they_should_be(real, tmp_path):
    (tmp_path / "root/DFO/DFO_sub").unlink()
    with pytest.raises(FileNotFoundError, match=r"root/DFO/DFO_sub: no such folder\. Fix"):
        DATASETS.build(real.train_dataloader.dataset)


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"<html>not found</html>", "not a picture")])
def test_a_file_without_a_picture_is_named(folder, content, said):
    (folder / "a.png").write_bytes(content)
    with pytest.raises(ImageReadError, match=rf"a\.png .*{said}.*Fix"):
        RealESRGANDataset(str(folder))[0]
