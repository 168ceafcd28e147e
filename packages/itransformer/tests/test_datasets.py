"""The paper's data sets: window counts of every published horizon, borders, files that must load as they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

from mm_itransformer.datasets import PEMSDataset, SolarDataset
from mmrepro.datasets import registry
from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.ett import ETTDataset
from mmrepro.datasets.lorenz96_windows import Lorenz96Dataset
from mmrepro.datasets.series import SeriesError, SeriesWarning
from mmrepro.testing import require_data

BASES = Path(__file__).resolve().parents[1] / "configs" / "_base_" / "datasets"
FILES_OF = {name: [name] for name in ("etth1", "etth2", "ettm1", "ettm2", "exchange", "weather")} | {"lorenz96": []}

# (train, val, test) windows with seq_len 96; counted with the official code
WINDOWS = {
    ("etth1", 96): (8449, 2785, 2785),
    ("etth2", 720): (7825, 2161, 2161),
    ("ettm1", 192): (34273, 11329, 11329),
    ("ettm2", 336): (34129, 11185, 11185),
    ("exchange", 96): (5120, 665, 1422),
    ("exchange", 720): (4496, 41, 798),
    ("weather", 192): (36600, 5079, 10348),
}


def of_registry(name: str):
    """Return the class and the options for a set of the registry."""
    if name.startswith("ett"):
        return ETTDataset, {"data": name, "interval": "hour" if name.startswith("etth") else "15min"}
    return CSVForecastDataset, {"data": name}


@pytest.mark.parametrize(("name", "pred_len"), WINDOWS)
@pytest.mark.filterwarnings("ignore::mmrepro.datasets.series.SeriesWarning")
def test_windows_are_as_many_as_the_official_code_has(name, pred_len):
    require_data(name)
    kind, options = of_registry(name)
    counts = tuple(len(kind(split, 96, pred_len, **options)) for split in ("train", "val", "test"))
    assert counts == WINDOWS[name, pred_len]


def test_the_published_weather_file_loads_with_its_repeat_its_gap_and_its_sentinels():
    path = next(iter(require_data("weather").values()))
    with pytest.warns(SeriesWarning) as caught:
        windows = CSVForecastDataset("train", 96, 96, file=read_again(path))
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    assert "1 repeated time stamps, the first at line 19046 (2020-05-12 06:00:00)" in texts[0]
    assert "1 gaps (steps longer than 0 days 00:10:00), the first before line 21516 (2020-05-29 09:30:00 to" in texts[1]
    assert windows.columns[16] == "SWDR (W/m\ufffd)"
    lowest = windows.values[:, list(windows.columns).index("wv (m/s)")].min().item()
    assert lowest * windows.std[11] + windows.mean[11] == pytest.approx(-9999, rel=1e-5)


def test_the_sentinels_of_weather_are_cleaned_by_option():
    path = next(iter(require_data("weather").values()))
    with pytest.warns(SeriesWarning, match=r"81 cells hold .* in 3 columns: 'wv \(m/s\)' 1, .* 30, 'OT' 50"):
        windows = CSVForecastDataset("train", 96, 96, file=path, missing_values=[-9999.0])
    restored = windows.values.numpy() * windows.std + windows.mean
    assert restored.min() > -100
    assert windows.metainfo["missing_values"] == [-9999.0]
    raw = CSVForecastDataset("train", 96, 96, file=path)
    assert windows.std[-1] < raw.std[-1] / 5  # the sentinels made the column almost flat
    clean = [i for i in range(21) if raw.columns[i][:2] not in ("wv", "ma", "OT")]
    assert torch.equal(windows.values[:, clean], raw.values[:, clean])


def test_the_published_exchange_file_loads_without_a_warning():
    path = next(iter(require_data("exchange").values()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeriesWarning)
        windows = CSVForecastDataset("train", 96, 96, file=read_again(path))
    assert str(windows.dates[0]) == "1990-01-01 00:00:00"
    assert (windows.marks[:, 0] == -0.5).all()  # the hour of daily data


def read_again(path: Path) -> Path:
    """Return the path, after another file was read: the one read last is remembered and warns no more."""
    from mmrepro.datasets import series

    series._remembered.cache_clear()
    return path


@pytest.mark.parametrize("base", FILES_OF)
@pytest.mark.filterwarnings("ignore::mmrepro.datasets.series.SeriesWarning")
def test_a_base_config_builds_its_three_loaders(base):
    for name in FILES_OF[base]:
        require_data(name)
    init_default_scope("mmengine")
    config = Config.fromfile(BASES / f"{base}.py")
    sizes = []
    for split in ("train", "val", "test"):
        loader = Runner.build_dataloader(config[f"{split}_dataloader"], seed=0)
        batch = next(iter(loader))
        assert loader.dataset.split == split
        assert batch["inputs"].shape[1:] == (96, len(loader.dataset.columns))
        assert (batch["marks"] is None) == (base == "lorenz96")
        windows = len(loader.dataset)
        sizes.append(len(loader) == (-(-windows // 256) if split == "test" else windows // 32))
    assert all(sizes)


def test_validation_and_test_begin_one_look_back_early():
    series = Lorenz96Dataset("train", 10, 5, generate={"steps": 201}, ratios=(1, 0, 0))
    parts = [Lorenz96Dataset(split, 10, 5, generate={"steps": 201}) for split in ("train", "val", "test")]
    raw = series.values * torch.tensor(series.std) + torch.tensor(series.mean)
    # 201 rows: 140 train, 40 test, the 21 between validate
    for part, rows in zip(parts, [slice(0, 140), slice(130, 161), slice(151, 201)], strict=True):
        expected = (raw[rows] - torch.tensor(part.mean)) / torch.tensor(part.std)
        torch.testing.assert_close(part.values.double(), expected, rtol=1e-5, atol=1e-5)


def test_the_generated_set_has_an_hourly_axis_for_whoever_wants_marks():
    options = {"generate": {"steps": 200, "variates": 5}}
    windows = Lorenz96Dataset("train", 10, 5, **options)
    assert windows.columns == ("x1", "x2", "x3", "x4", "x5")
    assert windows[0]["marks"] is None
    assert Lorenz96Dataset("train", 10, 5, time_features=True, **options)[0]["marks"].shape == (10, 4)


def test_ratios_are_the_users_choice_and_must_add_up():
    windows = Lorenz96Dataset("test", 10, 5, generate={"steps": 200}, ratios=(0.5, 0.25, 0.25))
    assert len(windows.values) == 50 + 10
    with pytest.raises(ValueError, match=r"ratios=\(0.7, 0.2, 0.2\) must be three shares"):
        Lorenz96Dataset("test", 10, 5, ratios=(0.7, 0.2, 0.2))


def test_an_ett_file_must_be_long_enough_and_its_interval_known(tmp_path):
    rows = "".join(f"2020-01-01 {hour:02}:00,1\n" for hour in range(24))
    (tmp_path / "short.csv").write_text(f"date,OT\n{rows}")
    with pytest.raises(SeriesError, match=r"short\.csv: 24 rows, but .* at least 14400\. Fix: use CSVForecastDataset"):
        ETTDataset("train", 4, 2, file=tmp_path / "short.csv")
    with pytest.raises(ValueError, match="interval='day' is not known"):
        ETTDataset("train", 4, 2, data="etth1", interval="day")


def test_a_pems_file_fills_its_gaps_inside_each_split(tmp_path):
    data = np.arange(100 * 2 * 3, dtype=float).reshape(100, 2, 3)
    data[[0, 70, 99], 1, 0] = np.nan
    np.savez(tmp_path / "pems.npz", data=data)
    parts = {s: PEMSDataset(s, 4, 2, file=tmp_path / "pems.npz", scale=False) for s in ("train", "val", "test")}
    assert [len(part.values) for part in parts.values()] == [60, 20, 20]
    assert parts["train"].values[0, 1] == data[1, 1, 0]  # from behind, where nothing is before it
    assert parts["val"].values[10, 1] == data[69, 1, 0]  # from before
    assert parts["test"].values[-1, 1] == data[98, 1, 0]
    assert parts["train"][0]["marks"] is None


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning", "ignore:Degrees of freedom:RuntimeWarning")
def test_a_pems_file_that_cannot_be_used_says_why(tmp_path):
    path = tmp_path / "pems.npz"
    data = np.ones((100, 2, 1))
    data[60:80, 1] = np.nan
    np.savez(path, data=data)
    with pytest.raises(SeriesError, match=r"pems\.npz: column '1' has no value in the val split .* Fix: leave it out"):
        PEMSDataset("val", 4, 2, file=path, scale=False)
    np.savez(path, data=data[0])
    with pytest.raises(SeriesError, match=r"'data' has shape \(2, 1\)\. Fix: give \(time, variates, channels\)"):
        PEMSDataset("val", 4, 2, file=path)
    np.savez(path, values=data)
    with pytest.raises(SeriesError, match=r"pems\.npz: no npz file with an array 'data'"):
        PEMSDataset("val", 4, 2, file=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SeriesError, match=r"pems\.npz: no npz file with an array 'data'"):
        PEMSDataset("val", 4, 2, file=path)


# rows and variates of the files that nobody has published a checksum of
SIZES = {
    "electricity": (26304, 321),
    "traffic": (17544, 862),
    "solar": (52560, 137),
    "pems03": (26208, 358),
    "pems04": (16992, 307),
    "pems07": (28224, 883),
    "pems08": (17856, 170),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_set_that_no_command_fetches_says_where_to_get_it_and_is_checked_by_its_size(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    (file,) = registry.get(name).files
    assert (file.rows, file.variates) == SIZES[name]
    assert file.sha256 is file.url is None
    with pytest.raises(registry.DataNotFoundError) as caught:
        registry.download(name, tmp_path)
    for part in ("drive.google.com", "cloud.tsinghua.edu.cn", f"<data root>/{file.path}"):
        assert part in str(caught.value)


@pytest.mark.parametrize("folder", ["PEMS", "dataset/PEMS"])
def test_a_pems_set_of_the_registry_is_read_from_the_archive_as_it_is_unpacked(tmp_path, folder):
    place = tmp_path / folder / "PEMS08.npz"
    place.parent.mkdir(parents=True)
    np.savez(place, data=np.random.default_rng(0).integers(0, 255, (17856, 170, 1), np.uint8))
    parts = [PEMSDataset(split, 96, 12, data="pems08", data_root=tmp_path) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [10713 - 107, 3571 - 107, 3572 - 107]
    assert len(parts[0].columns) == 170


@pytest.mark.parametrize(
    ("kind", "name", "content", "found"),
    [
        (CSVForecastDataset, "electricity", b"date,0,OT\n2020-01-01,1,2\n2020-01-02,3,4\n", "2 rows and 2 variates"),
        (SolarDataset, "solar", b"1,2,3\n4,5,6\n", "2 rows and 3 variates"),
    ],
)
def test_a_file_of_another_size_is_refused_with_what_is_expected(tmp_path, kind, name, content, found):
    place = tmp_path / registry.get(name).files[0].path
    place.parent.mkdir()
    place.write_bytes(content)
    rows, variates = SIZES[name]
    with pytest.raises(registry.DataCorruptError) as caught:
        kind("train", data=name, data_root=tmp_path)
    for part in (str(place), found, f"expected {rows:,} rows and {variates} variates", "drive.google.com"):
        assert part in str(caught.value)


def test_a_solar_file_has_neither_header_nor_dates(tmp_path):
    table = np.random.default_rng(0).random((100, 3))
    np.savetxt(tmp_path / "solar.txt", table, delimiter=",")
    parts = [SolarDataset(split, 4, 2, file=tmp_path / "solar.txt", scale=False) for split in ("train", "val", "test")]
    assert [len(part.values) for part in parts] == [70, 14, 24]
    np.testing.assert_allclose(parts[2].values, table[76:], rtol=1e-6)
    assert parts[0].columns == ("0", "1", "2")


def test_the_sets_are_registered_for_configs():
    init_default_scope("mmengine")
    windows = DATASETS.build({"type": "Lorenz96Dataset", "split": "val", "generate": {"steps": 2000}, "pred_len": 24})
    assert len(windows) == 200 + 96 - 96 - 24 + 1
