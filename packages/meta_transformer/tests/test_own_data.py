"""A user's copy of each template, with the lines at its top changed, reads the user's files and learns from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image

from mm_meta_transformer.inferencer import MetaTransformerInferencer
from mmrepro.datasets.generated.tones import write_wav

CONFIGS = Path(__file__).resolve().parents[1] / "configs/meta_transformer"
RANDOM = np.random.default_rng(0)
SMALLER = ("dict(embed_dims=192, depth=4, num_heads=3)", "dict(embed_dims=16, depth=2, num_heads=2)")


def pictures(folder: Path) -> list[tuple[str, str]]:
    for number in range(4):
        for part in ("train", "val"):
            path = folder / part / ("night", "day")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(RANDOM.integers(0, 255, (40, 50), np.uint8)).save(path)  # grey, as an X-ray is
    return [("data/my_pictures", str(folder)), ('("cat", "dog")', '("night", "day")'), ("= 224, 16", "= 32, 16")]


def sounds(folder: Path) -> list[tuple[str, str]]:
    for number in range(4):
        for part in ("train", "val"):
            path = folder / part / ("on", "off")[number % 2] / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, RANDOM.uniform(-0.5, 0.5, 4000), 8000)  # resampled
    return [("data/my_sounds", str(folder)), ("seconds = 1.0", "seconds = 0.3"), ("bins = 128", "bins = 32")]


def texts(folder: Path) -> list[tuple[str, str]]:
    lines = ["id\tquestion\tanswer\tverdict", *(f"{n}\twhere is {n}\there\t{('yes', 'no')[n % 2]}" for n in range(6))]
    for name in ("train", "val"):
        (folder / f"{name}.tsv").write_text("\n".join(lines), encoding="utf-8")
    return [
        ("data/my_texts", str(folder)),
        ('columns = ("sentence",)', 'columns = ("question", "answer")'),
        ('label = "label"', 'label = "verdict"'),
        ('labels = ("0", "1")', 'labels = ("no", "yes")'),
        ("4000, 64", "100, 16"),
    ]


def table(folder: Path) -> list[tuple[str, str]]:
    rows = [f"{n},{('red', 'blue', '')[n % 3]},{'abcd'[n % 4]},{n / 7:.2f},{('Yes', 'no')[n % 2]}" for n in range(40)]
    (folder / "table.csv").write_text("\n".join(["Number,Colour,city,Price,Bought", *rows]), encoding="utf-8")
    return [("data/my_table.csv", f"{folder}/table.csv"), ("drop = ()", 'drop = ("number",)')]


def clouds(folder: Path) -> list[tuple[str, str]]:
    for number in range(4):
        for part in ("train", "val"):
            path = folder / part / ("chair", "table")[number % 2] / f"{number}.xyz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(path, RANDOM.normal(size=(40 + 20 * number, 6)))  # with normals, and of several sizes
    return [("data/my_clouds", str(folder)), ("1024, 32", "64, 8"), ("(128, 256, 512)", "(8, 8, 16)")]


def series(folder: Path) -> list[tuple[str, str]]:
    rows = [f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 7},{n % 5}" for n in range(300)]
    (folder / "series.csv").write_text("\n".join(["when,load,wind", *rows]), encoding="utf-8")
    return [
        ("data/my_series.csv", f"{folder}/series.csv"),
        ("series = 7", "series = 2"),
        ("96, 24", "24, 8"),
        ('date_column = "date"', 'date_column = "when"'),
        ("n_heads=8", "n_heads=2"),
    ]


def config_of(modality: str, changes: list[tuple[str, str]], folder: Path) -> Config:
    text = (CONFIGS / f"meta-transformer_own-{modality}.py").read_text(encoding="utf-8")
    quick = [SMALLER, ("num_workers=2", "num_workers=0"), ("persistent_workers=True", "persistent_workers=False")]
    for before, after in [*changes, *quick]:
        assert before in text or "workers" in before, f"the template has no {before!r}"
        text = text.replace(before, after)
    copy = folder / f"my_{modality.replace('-', '_')}.py"
    copy.write_text(text, encoding="utf-8")
    config = Config.fromfile(copy)
    for part in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        if modality != "time-series":
            part.dataset.serialize_data = False  # mmengine's collects garbage for a second first
    return config


@pytest.mark.parametrize(
    ("modality", "write"),
    [
        ("image", pictures),
        ("audio", sounds),
        ("text", texts),
        ("tabular", table),
        ("point-cloud", clouds),
        ("time-series", series),
    ],
)
def test_a_changed_copy_of_the_template_learns(modality: str, write: Callable, tmp_path: Path):
    config = config_of(modality, write(tmp_path), tmp_path)
    model = MODELS.build(config.model).train()
    loader = dict(config.train_dataloader, batch_size=4)
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    losses = model(**model.data_preprocessor(batch, True), mode="loss")
    model.parse_losses(losses)[0].backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.parameters() if one.requires_grad)
    for part in (config.val_dataloader, config.test_dataloader):
        batch = next(iter(Runner.build_dataloader(dict(part, batch_size=4), seed=0)))
        with torch.no_grad():
            found = model.eval()(**model.data_preprocessor(batch, False), mode="predict")
        assert len(found) == 4


@pytest.mark.parametrize("modality", ["image", "audio", "text", "tabular", "point-cloud", "time-series"])
def test_with_the_released_file_the_encoder_is_that_one_and_frozen(modality: str, tmp_path: Path):
    given = config_of(modality, [("encoder_file = None", 'encoder_file = "released.pth"')], tmp_path).model.encoder
    assert (given.arch, given.frozen, given.init_cfg.checkpoint) == ("base", True, "released.pth")
    tuned = [("encoder_file = None", 'encoder_file = "released.pth"'), ("tuned = False", "tuned = True")]
    assert config_of(modality, tuned, tmp_path).model.encoder.frozen is False


@pytest.mark.parametrize(
    ("modality", "write", "sample", "options"),
    [
        ("image", pictures, "val/night/0.png", {}),
        ("audio", sounds, "val/off/1.wav", {}),
        ("text", texts, ("where is it", "here"), {}),
        ("tabular", table, "table.csv", {}),
        ("point-cloud", clouds, "val/table/1.xyz", {}),
        ("time-series", series, "series.csv", {"date_column": "when"}),
    ],
)
@pytest.mark.filterwarnings("ignore")  # the weights are random, and the table lacks cells
def test_what_was_trained_on_can_be_predicted(modality: str, write: Callable, sample: object, options: dict, tmp_path):
    config = config_of(modality, write(tmp_path), tmp_path)
    inferencer = MetaTransformerInferencer(config, device="cpu")
    found = inferencer(str(tmp_path / sample) if isinstance(sample, str) else sample, **options)["predictions"]
    assert inferencer.modality == modality
    if modality == "time-series":
        assert list(found[0].forecast.columns) == ["load", "wind"]
    else:
        assert found[0].name in inferencer.classes
        assert inferencer.classes == tuple(config.get("classes"))
