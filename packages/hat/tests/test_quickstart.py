"""The quickstart: its training pictures, its test set and its drawings. The whole run is `nox -s quickstart -- hat`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, MODELS
from PIL import Image
from skimage import data

from mm_hat import quickstart
from mm_hat.datasets import bundled_pictures
from mm_hat.datasets.imresize import imresize
from mmrepro import papers


@pytest.fixture
def config() -> Config:
    """The quickstart's config with tiny textures."""
    found = Config.fromfile(papers.find_config("hat", quickstart.CONFIG))
    found.test_dataloader.dataset.textures.generate = dict(count=3, size=48, seed=2000)
    return found


@pytest.fixture
def set5(tmp_path, monkeypatch):
    """Two pictures of 40 x 40 in place of Set5, in SelfExSR's layout; their scaled copies are bicubic."""
    folder = tmp_path / "sr" / "Set5" / "image_SRF_2"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in (1, 2):
        truth = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        low = imresize(truth, 0.5, "uint8", "replicate")
        Image.fromarray(truth).save(folder / f"img_00{number}_SRF_2_HR.png")
        Image.fromarray(low).save(folder / f"img_00{number}_SRF_2_LR.png")
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))


@pytest.fixture
def no_set5(tmp_path, monkeypatch):
    """No test set is found."""
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)


def keys(dataset) -> list[tuple[str, str]]:
    samples = [dataset[index]["data_samples"] for index in range(len(dataset))]
    return [(sample.set, sample.key) for sample in samples]


def test_set5_follows_the_textures_where_it_is(config, set5):
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert dataset.metainfo == {"sets": ["textures", "Set5"]}
    textures = [("textures", f"texture_000{number}") for number in range(3)]
    assert keys(dataset) == [*textures, ("Set5", "img_001"), ("Set5", "img_002")]


def test_without_set5_the_textures_are_tested_alone(config, no_set5):
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert dataset.metainfo == {"sets": ["textures"]}
    assert {name for name, _ in keys(dataset)} == {"textures"}


def test_low_resolution_pictures_are_made_as_set5s_were(config, set5):
    """Bit by bit, so that the network meets in the test what it was trained on."""
    stored = DATASETS.build(dict(type="SRBenchmarkDataset", name="Set5", scale=2))
    shrink = config.train_dataloader.dataset.datasets[1].pipeline[:2]
    make = Compose([*shrink, dict(type="SRPackInputs")])
    for index, (_, truth, _) in enumerate(stored.pairs):
        assert torch.equal(make({"gt_path": str(truth)})["inputs"], stored[index]["inputs"])


def test_bundled_pictures_are_cut_into_squares_that_cover_them():
    """chelsea has 300 x 451 pixels: 2 x 3 squares of 160, the last ones flush with the border."""
    folder = bundled_pictures.bundled_folder(160)
    files = sorted(folder.glob("*.png"))
    assert {file.name.rpartition("_s")[0] for file in files} == set(bundled_pictures.PICTURES)
    assert len({file.read_bytes() for file in files}) == len(files)
    squares = [np.asarray(Image.open(file)) for file in files]
    assert {square.shape for square in squares} == {(160, 160, 3)}
    picture = data.chelsea()
    assert np.array_equal(np.asarray(Image.open(folder / "chelsea_s001.png")), picture[:160, :160])
    assert np.array_equal(np.asarray(Image.open(folder / "chelsea_s006.png")), picture[-160:, -160:])
    assert not (folder / "chelsea_s007.png").exists()
    assert bundled_pictures.bundled_folder(160) == folder


def test_impossible_squares_are_refused():
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        bundled_pictures.bundled_folder(0)
    with pytest.raises(ValueError, match="a side of 172 pixels is shorter than the square of 173"):
        bundled_pictures.bundled_folder(173)


def test_a_missing_picture_is_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(bundled_pictures, "PICTURES", ("lenna",))
    with pytest.raises(
        FileNotFoundError, match=r"lenna.png is not there. Fix: pip install --force-reinstall scikit-im"
    ):
        bundled_pictures.bundled_folder(96)


def test_the_training_set_has_textures_and_photographs(config):
    dataset = DATASETS.build(config.train_dataloader.dataset)
    names = {Path(dataset.get_data_info(index)["gt_path"]).name.rpartition("_")[0] for index in range(len(dataset))}
    assert names == {"texture", *bundled_pictures.PICTURES}
    sample = dataset[len(dataset) - 1]
    assert sample["inputs"].shape == (3, 32, 32)
    assert sample["data_samples"].gt_img.shape == (3, 64, 64)


def test_every_picture_of_the_test_sets_is_drawn_and_two_textures(config, set5, tmp_path):
    config.model.generator.update(depths=(1,), num_heads=(3,), embed_dim=12)
    weights = {f"generator.{key}": value for key, value in MODELS.build(config.model.generator).state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "weights.pth")
    config.dump(tmp_path / "config.py")
    drawn = quickstart.draw(tmp_path / "config.py", tmp_path / "weights.pth", tmp_path / "figures")
    assert [path.name for path in drawn] == [
        "textures_texture_0000.png",
        "textures_texture_0001.png",
        "Set5_img_001.png",
        "Set5_img_002.png",
    ]
    for path in drawn:
        with Image.open(path) as image:
            image.load()
