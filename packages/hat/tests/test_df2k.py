"""Preparing DF2K from the official folders, by the function and by the tools."""

from __future__ import annotations

import hashlib
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

import mm_hat.datasets.df2k
from mm_hat.datasets import SRBenchmarkDataset, lmdb_images
from mm_hat.datasets.df2k import LIST, OTHER_LIST, Part, official_parts, prepare_df2k
from mm_hat.datasets.imresize import imresize
from mmrepro.datasets import registry

TOOLS = Path(__file__).resolve().parents[1] / "tools"
CONFIGS = Path(__file__).resolve().parents[1] / "configs/_base_/datasets"


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def root(tmp_path):
    """Return a data root with a small picture in DIV2K and in Flickr2K, and their low-resolution ones at x2 and x4."""
    for seed, (part, name) in enumerate(zip(official_parts(tmp_path), ("0001", "000001"), strict=True)):
        image = np.random.default_rng(seed).integers(0, 256, (24 + 8 * seed, 32, 3), np.uint8)
        save(part.high / f"{name}.png", image)
        for scale in (2, 4):
            save(part.low / f"X{scale}/{name}x{scale}.png", imresize(image, 1 / scale, "uint8", "replicate"))
    return tmp_path


def prepare(root: Path, **arguments: object) -> dict[str, int]:
    settings = dict(scales=(2, 4), crop=24, step=8)
    return prepare_df2k(official_parts(root), root / "DF2K", **(settings | arguments))


def test_the_configs_read_what_is_made(root, monkeypatch):
    calls = []
    made = prepare(root, progress=lambda *call: calls.append(call))
    assert made == {"DF2K_HR_sub": 6, "DF2K_bicx2_sub": 6, "DF2K_bicx4_sub": 6}
    assert calls[0] == ("DF2K_HR_sub of DIV2K_train_HR", 1, 1)
    assert len(calls) == 6
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(root))
    for scale in (2, 4):
        settings = Config.fromfile(CONFIGS / f"df2k_x{scale}.py").train_dataloader.dataset
        settings.pipeline = [step for step in settings.pipeline if "Crop" not in step.type]
        dataset = DATASETS.build(settings | {"serialize_data": False})
        assert len(dataset) == 6
        assert [sample["inputs"].shape[-1] for sample in dataset] == [24 // scale] * 6
        listed = DATASETS.build(settings | {"ann_file": LIST, "serialize_data": False})
        assert [listed.get_data_info(i)["key"] for i in (0, 5)] == ["000001_s001", "0001_s002"]


def test_an_interrupted_run_goes_on_and_packs(root):
    pytest.importorskip("lmdb")
    prepare(root)
    (root / "DF2K/DF2K_bicx2_sub/0001_s002.png").unlink()
    kept = root / "DF2K/DF2K_HR_sub/0001_s001.png"
    before = kept.stat().st_mtime_ns
    for _ in range(2):  # packed folders that are there stay
        assert prepare(root, lmdb=True)["DF2K_bicx2_sub"] == 6
    assert kept.stat().st_mtime_ns == before
    assert len(list((root / "DF2K").glob("*.lmdb"))) == 3
    settings = Config.fromfile(CONFIGS / "df2k_x2.py").train_dataloader.dataset
    settings.data_root, settings.pipeline = str(root / "DF2K"), settings.pipeline[:2]
    settings.data_prefix = {side: f"{folder}.lmdb" for side, folder in settings.data_prefix.items()}
    packed = DATASETS.build(settings | {"serialize_data": False})
    assert packed[5]["img"].shape == (12, 12, 3)
    with pytest.raises(ValueError, match=r"HR_sub\.lmdb does not hold the 12 squares of .*HR_sub\. Fix: remove it"):
        prepare(root, lmdb=True, step=4)


def test_lmdb_folders_without_the_package_are_refused_before_anything_is_cut(root, monkeypatch):
    def absent():
        raise ImportError(".lmdb folders need the package lmdb: pip install lmdb")

    monkeypatch.setattr(lmdb_images, "package", absent)
    with pytest.raises(ImportError, match="pip install lmdb"):
        prepare(root, lmdb=True)
    assert not (root / "DF2K").exists()


def test_the_official_list_is_kept_and_parts_of_other_sizes_are_warned_of(root, monkeypatch):
    logged = []
    monkeypatch.setattr(mm_hat.datasets.df2k, "print_log", lambda message, *args: logged.append(message))
    official = root / "DF2K" / LIST
    official.parent.mkdir(parents=True)
    official.write_text("0001_s001.png (480,480,3)\n")
    data = registry.get("df2k")
    file = replace(data.files[0], sha256=hashlib.sha256(official.read_bytes()).hexdigest())
    monkeypatch.setattr(registry, "get", {"df2k": replace(data, files=(file,))}.__getitem__)
    prepare(root)
    assert official.read_text() == "0001_s001.png (480,480,3)\n"
    made = root / "DF2K" / OTHER_LIST
    assert len(made.read_text().splitlines()) == 6
    assert [message.partition(" ")[2] for message in logged] == [
        "holds 1 pictures, the published set 800: this is not the paper's DF2K",
        "holds 1 pictures, the published set 2,650: this is not the paper's DF2K",
        f"is the official list, and names other squares than were cut; theirs is {made}",
    ]
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    monkeypatch.setattr(registry, "digest", lambda path: digest)  # now the squares are the official ones
    file = replace(file, sha256=digest)
    monkeypatch.setattr(registry, "get", {"df2k": replace(data, files=(file,))}.__getitem__)
    prepare(root)
    assert not made.exists()


def test_a_list_of_an_earlier_run_is_written_again(root):
    (root / "DF2K" / LIST).parent.mkdir(parents=True)
    (root / "DF2K" / LIST).write_text("0001_s001.png (24,24,3)\n")
    prepare(root)
    assert len((root / "DF2K" / LIST).read_text().splitlines()) == 6


def test_sizes_that_are_no_pair_stop_it_before_anything_is_written(root):
    low = root / "Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png"
    save(low, np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"Flickr2K_HR/000001\.png is 32x32 and .*000001x4\.png is 8x9 .* at scale 4"):
        prepare(root)
    other = low.rename(low.with_name("000002x4.png"))
    with pytest.raises(ValueError, match=r"000002x4\.png belongs to no picture in .*Flickr2K_HR"):
        prepare(root)
    save(official_parts(root)[1].high / "000002.png", np.zeros((32, 36, 3), np.uint8))
    save(other, np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"000001\.png has no picture in .*Flickr2K_LR_bicubic/X4"):
        prepare(root, scales=(4,))
    assert not (root / "DF2K").exists()


def test_two_pictures_of_one_name_are_refused(root):
    one = official_parts(root)[0]
    with pytest.raises(ValueError, match="squares of the same name"):
        prepare_df2k([one, Part(one.high, one.low)], root / "DF2K", scales=(2,), crop=24, step=8)
    assert not (root / "DF2K").exists()


def test_the_tool_says_what_is_missing_in_one_line(tmp_path):
    main = runpy.run_path(str(TOOLS / "prepare_df2k.py"))["main"]
    with pytest.raises(SystemExit, match=r"^error: .*DIV2K_train_LR_bicubic/X2: no such folder\. Fix"):
        main([str(tmp_path), "--scales", "2"])


def test_the_tool_prepares_whole_squares(root, capsys):
    for part in official_parts(root):
        for path in [*part.high.iterdir(), *(part.low / "X2").iterdir()]:
            side = 480 if path.parent == part.high else 240
            save(path, np.zeros((side, side, 3), np.uint8))
    main = runpy.run_path(str(TOOLS / "prepare_df2k.py"))["main"]
    main([str(root), "--out", str(root / "made"), "--scales", "2", "--workers", "1"])
    assert f"{root}/made/DF2K_bicx2_sub: 2 squares" in capsys.readouterr().out
    assert (root / "made" / LIST).read_text() == "000001_s001.png (480,480,3)\n0001_s001.png (480,480,3)\n"


def test_the_tool_makes_the_low_resolution_pictures_of_a_test_set(tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 256, (13, 16, 3), np.uint8)
    save(tmp_path / "Mine/HR/a.png", image)
    main = runpy.run_path(str(TOOLS / "make_benchmark_lr.py"))["main"]
    main([str(tmp_path / "Mine/HR"), "--scales", "2", "3"])
    assert "X3: 1 pictures" in capsys.readouterr().out
    for scale in (2, 3):
        sample = SRBenchmarkDataset("Mine", scale, data_root=str(tmp_path / "Mine"))[0]
        assert sample["data_samples"].lr_source == "stored"
        whole = image[: 13 // scale * scale, : 16 // scale * scale]
        np.testing.assert_array_equal(
            sample["inputs"].numpy().transpose(1, 2, 0), imresize(whole, 1 / scale, "uint8", "replicate")
        )
    with pytest.raises(SystemExit, match=r"^error: .*nowhere: no such folder"):
        main([str(tmp_path / "nowhere")])


def test_low_resolution_pictures_never_go_among_the_good_ones(tmp_path, monkeypatch):
    save(tmp_path / "HR/a.png", np.zeros((8, 8, 3), np.uint8))
    main = runpy.run_path(str(TOOLS / "make_benchmark_lr.py"))["main"]
    with pytest.raises(SystemExit, match=r"^error: .*HR/low/X2 lies inside .*Fix: choose a folder beside it"):
        main([str(tmp_path / "HR"), "--scales", "2", "--out", str(tmp_path / "HR/low")])
    monkeypatch.chdir(tmp_path / "HR")
    main([".", "--scales", "2"])
    assert (tmp_path / "LR_bicubic/X2/a.png").is_file()
    assert [path.name for path in (tmp_path / "HR").iterdir()] == ["a.png"]
