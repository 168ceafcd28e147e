"""Forecasts from files, tables and arrays, in original units."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.config import Config

from mm_itransformer import ITransformerInferencer
from mm_itransformer.checkpoint import to_official
from mm_itransformer.models import ITransformer, ITransformerImputer
from mm_itransformer.models.temporal import TemporalTransformer
from mm_itransformer.visualization import draw_forecast
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.datasets.series import SeriesError, SeriesWarning
from mmrepro.datasets.time_features import time_features

SETTINGS = {"seq_len": 24, "pred_len": 8, "d_model": 16, "n_heads": 2, "e_layers": 2, "d_ff": 24}
COLUMNS = ["load", "wind", "price"]
META = {
    "columns": COLUMNS,
    "mean": [10.0, 100.0, -5.0],
    "std": [2.0, 30.0, 0.5],
    "freq": "h",
    "time_features": True,
    "seq_len": 24,
    "pred_len": 8,
    "features": "M",
}


def config(**model) -> Config:
    dataset = {"type": "CSVForecastDataset", "time_features": True, "freq": "h"}
    return Config({"model": {"type": "ITransformer", **SETTINGS, **model}, "test_dataloader": {"dataset": dataset}})


@pytest.fixture(scope="module")
def model() -> ITransformer:
    torch.manual_seed(0)
    return ITransformer(**SETTINGS).eval()


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "best.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": META, "model": model.settings}}, path)
    return path


@pytest.fixture(scope="module")
def official(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("official") / "checkpoint.pth"
    torch.save(to_official(model.state_dict()), path)
    return path


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 3)) * META["std"] + META["mean"]
    return pd.DataFrame(values, pd.date_range("2024-02-27 05:00", periods=60, freq="h"), COLUMNS)


def by_hand(model: ITransformer, window: pd.DataFrame) -> np.ndarray:
    """Scale, forecast and undo the scaling without the inferencer."""
    scaled = (window.to_numpy() - META["mean"]) / META["std"]
    marks = time_features(window.index, "h")
    with torch.no_grad():
        forecast = model(*(torch.from_numpy(x.astype(np.float32))[None] for x in (scaled, marks)))[0]
    return forecast.numpy() * META["std"] + META["mean"]


def test_csv_table_and_array_give_the_same_forecast_in_original_units(model, checkpoint, table, tmp_path):
    table.to_csv(tmp_path / "series.csv", index_label="date")
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    expected = by_hand(model, table[-24:])
    sources = [tmp_path / "series.csv", table, table.reset_index(names="date")[["wind", "date", "price", "load"]]]
    for forecast in inferencer(sources)["predictions"]:
        np.testing.assert_allclose(forecast.values.to_numpy(), expected, rtol=1e-5)
        assert list(forecast.values.columns) == COLUMNS
        assert list(forecast.values.index) == list(pd.date_range("2024-02-29 17:00", periods=8, freq="h"))
        assert forecast.truth is None
        assert forecast.tokens == (*COLUMNS, "hour", "weekday", "day", "day of year")
        assert forecast.attention.shape == (2, 2, 7, 7)


def test_a_start_inside_the_file_gives_truth_and_errors(model, checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    forecasts = [inferencer(table, start=start)["predictions"][0] for start in (-8, 52, "2024-02-29 09:00")]
    expected = by_hand(model, table[28:52])
    for forecast in forecasts:
        np.testing.assert_allclose(forecast.values.to_numpy(), expected, rtol=1e-5)
        pd.testing.assert_frame_equal(forecast.truth, table[52:], check_names=False, check_freq=False)
        error = expected - table[52:].to_numpy()
        assert forecast.errors()["mse"] == pytest.approx((error**2).mean(), rel=1e-5)
        assert forecast.errors()["baseline_mae"] == pytest.approx((table[52:] - table.iloc[51]).abs().to_numpy().mean())


def test_truth_may_be_shorter_than_the_forecast(checkpoint, table):
    forecast = ITransformerInferencer(config(), checkpoint, device="cpu")(table, start=-3)["predictions"][0]
    assert len(forecast.truth) == 3
    assert forecast.values.index[-1] == table.index[-1] + pd.Timedelta(hours=5)


@pytest.mark.parametrize(("freq", "last"), [("MS", "2029-09-01"), ("B", "2024-05-31"), ("15min", None)])
def test_dates_go_on_at_the_inferred_frequency(checkpoint, table, freq, last):
    table.index = pd.date_range("2024-02-28" if freq == "B" else "2024-02-01", periods=60, freq=freq)
    index = ITransformerInferencer(config(), checkpoint, device="cpu")(table)["predictions"][0].values.index
    assert list(index) == list(pd.date_range(table.index[-1], periods=9, freq=freq)[1:])
    assert last is None or index[-1] == pd.Timestamp(last)


def test_array_without_time_features_is_indexed_by_row(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu", dataset_meta={"time_features": False})
    forecast = inferencer(table.to_numpy(), with_attention=False)["predictions"][0]
    assert list(forecast.values.index) == list(range(60, 68))
    assert list(forecast.values.columns) == COLUMNS
    assert forecast.attention is None


def test_what_training_took_for_missing_is_filled_in_the_history_too(checkpoint, table, tmp_path):
    cleaned = torch.load(checkpoint, weights_only=True)
    cleaned["meta"]["dataset_meta"]["missing_values"] = [-9999.0]
    torch.save(cleaned, tmp_path / "cleaned.pth")
    broken, filled = table.copy(), table.copy()
    broken.iloc[-5, 0] = -9999.0
    filled.iloc[-5, 0] = table.iloc[-6, 0]
    inferencer = ITransformerInferencer(config(), tmp_path / "cleaned.pth")
    with pytest.warns(SeriesWarning, match="-9999"):
        forecast = inferencer(broken)["predictions"][0]
    pd.testing.assert_frame_equal(forecast.values, inferencer(filled)["predictions"][0].values)


def test_official_file_works_and_says_that_it_knows_no_scaler(official, table):
    with pytest.warns(UserWarning, match="does not say how its training data was scaled"):
        forecast = ITransformerInferencer(config(), official, device="cpu")(table)["predictions"][0]
    # use_norm makes the forecast follow the window, whatever the scaler
    assert abs(forecast.values["wind"].mean() - table["wind"][-24:].mean()) < 100
    assert forecast.tokens[-1] == "day of year"


def test_official_file_with_a_given_scaler_equals_our_checkpoint(official, checkpoint, table):
    ours = ITransformerInferencer(config(), checkpoint, device="cpu")(table)["predictions"][0]
    theirs = ITransformerInferencer(config(), official, device="cpu", dataset_meta=META)(table)["predictions"][0]
    pd.testing.assert_frame_equal(ours.values, theirs.values)


def test_other_variates_are_forecast_when_asked_for(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    other = table.assign(extra=table["load"] * 2).rename(columns={"wind": "sun"})
    with pytest.raises(SeriesError, match=r"lacks 1 of the 3 columns .* wind.* fit_scaler=True"):
        inferencer(other)
    assert inferencer(other, fit_scaler=True)["predictions"][0].values.shape == (8, 4)


def test_columns_beside_the_known_ones_are_left_out_with_a_warning(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.warns(UserWarning, match="1 columns that the model was not trained on"):
        forecast = inferencer(table.assign(extra=1.0))["predictions"][0]
    pd.testing.assert_frame_equal(forecast.values, inferencer(table)["predictions"][0].values)


def test_files_are_written_and_drawn(checkpoint, table, tmp_path):
    table.to_csv(tmp_path / "series.csv", index_label="date")
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    result = inferencer(tmp_path / "series.csv", out_dir=tmp_path / "out", start=-8)
    files = result["visualization"][0]
    assert [file.name for file in files] == ["series_forecast.csv", "series_forecast.png", "series_attention.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[1:])
    written = pd.read_csv(files[0], index_col="date", parse_dates=True)
    pd.testing.assert_frame_equal(written, result["predictions"][0].values, check_freq=False)
    with pytest.raises(KeyError, match="sun"):
        draw_forecast(result["predictions"][0], tmp_path / "x.png", columns=["sun"])


@pytest.mark.parametrize(
    ("setting", "value"), [("seq_len", 48), ("pred_len", 4), ("e_layers", 3), ("d_model", 32), ("n_heads", 4)]
)
def test_a_checkpoint_of_another_model_is_named(checkpoint, setting, value):
    with pytest.raises(CheckpointMismatchError, match=f"{setting}: .* in the file, {value} in the config"):
        ITransformerInferencer(config(**{setting: value}), checkpoint, device="cpu")


def test_another_time_feature_setting_is_named(checkpoint):
    other = config()
    other.test_dataloader.dataset.time_features = False
    with pytest.raises(CheckpointMismatchError, match="time_features: True in training, False now"):
        ITransformerInferencer(other, checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:20], "20 rows come before the forecast, but the model reads seq_len=24"),
        (
            lambda t: t.assign(wind=t["wind"].where(t.index != t.index[7])),
            r"row 7, column 'wind' has no value \(1 such cells\)",
        ),
        (lambda t: t.assign(wind="strong"), r"row 0, column 'wind' holds 'strong', .* \(60 of 60 cells"),
        (lambda t: t.assign(wind=t.index), "row 0, column 'wind' holds Timestamp.*not a number"),
        (lambda t: t[::-1], "row 1, column 'date': 2024-02-29 15:00:00 lies before the row above it"),
        (lambda t: t.set_axis(t.index.where(t.index != t.index[9])), "row 9, column 'date' has no date"),
        (lambda t: t.reset_index(drop=True).assign(date="soon"), "row 0, column 'date': 'soon' cannot be read"),
        (
            lambda t: t.reset_index(drop=True).assign(date=range(60)),
            r"row 0, column 'date': 0 is no date \(integer\).*unit='s'",
        ),
        (lambda t: t.set_axis(["load", "wind", "wind"], axis=1), "its header names the column 'wind' twice"),
        (lambda t: t.to_numpy().astype(str), "give numbers"),
    ],
)
def test_bad_input_is_named_with_the_fix(checkpoint, table, change, message):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.raises(SeriesError, match=message):
        inferencer(change(table))


def test_repeats_and_gaps_of_a_table_warn_as_those_of_a_file_do(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.warns(SeriesWarning, match="the DataFrame: 1 repeated time stamps, the first at row 5"):
        inferencer(table.set_axis(table.index.where(table.index != table.index[5], table.index[4])))
    with pytest.warns(SeriesWarning, match=r"the DataFrame: 1 gap.*row 5"):
        inferencer(table.drop(table.index[5]))


def test_dates_written_as_text_are_read(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    text = table.set_axis(table.index.strftime("%d/%m/%Y %H:%M").rename("date"))
    written = inferencer(text, date_format="%d/%m/%Y %H:%M")["predictions"][0]
    pd.testing.assert_frame_equal(written.values, inferencer(table)["predictions"][0].values)


def test_time_features_need_dates(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.raises(SeriesError, match="trained with time features"):
        inferencer(table.reset_index(drop=True))


def test_a_start_outside_the_input_is_refused(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.raises(SeriesError, match="outside"):
        inferencer(table, start=61)


@pytest.mark.parametrize("start", ["2030-02-01", "2024-02-29 17:01"])
def test_a_start_after_the_first_step_beyond_the_input_is_refused(checkpoint, table, start):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    with pytest.raises(SeriesError, match=r"ends at 2024-02-29 16:00:00: .* at 2024-02-29 17:00:00 at the latest"):
        inferencer(table, start=start)
    following = inferencer(table, start="2024-02-29 17:00")["predictions"][0]
    pd.testing.assert_frame_equal(following.values, inferencer(table)["predictions"][0].values)


@pytest.mark.parametrize("start", ["hello", "NaT"])
def test_a_start_that_is_no_date_is_named(checkpoint, table, start):
    with pytest.raises(ValueError, match=rf"start='{start}' is .*no.* date.* Fix: give a row number, or a date"):
        ITransformerInferencer(config(), checkpoint, device="cpu")(table, start=start)


def test_a_start_is_compared_in_the_time_zone_of_the_dates(checkpoint, table):
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    zoned = table.tz_localize("Europe/Berlin")
    for start in ("2024-02-29 09:00", "2024-02-29 08:00+00:00"):
        assert inferencer(zoned, start=start)["predictions"][0].values.index[0] == zoned.index[52]
    with pytest.raises(ValueError, match=r"has a time zone, .* have none\. Fix: give start without one"):
        inferencer(table, start="2024-02-29 08:00+00:00")


def test_the_scaler_of_the_input_itself_does_not_see_what_is_to_be_forecast(checkpoint, table):
    inferencer = ITransformerInferencer(config(use_norm=True), checkpoint, device="cpu")
    surprising = table.copy()
    surprising.iloc[-8:] *= 1000
    forecasts = [inferencer(t, start=-8, fit_scaler=True)["predictions"][0].values for t in (table, surprising)]
    pd.testing.assert_frame_equal(*forecasts, check_exact=True)


def test_the_repeated_last_value_of_ms_is_the_targets(tmp_path, table):
    torch.manual_seed(0)
    model = ITransformer(**SETTINGS, features="MS")
    meta = {"dataset_meta": META | {"features": "MS"}, "model": model.settings}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, tmp_path / "ms.pth")
    inferencer = ITransformerInferencer(config(features="MS"), tmp_path / "ms.pth", device="cpu")
    errors = inferencer(table, start=-8)["predictions"][0].errors()
    expected = (table["price"][-8:] - table["price"].iloc[-9]).abs().mean()
    assert errors["baseline_mae"] == pytest.approx(expected)


def test_files_of_inputs_with_like_names_do_not_overwrite_each_other(checkpoint, table, tmp_path):
    sources = [tmp_path / name for name in ("a/load.v1.csv", "a/load.v2.csv.gz", "b/load.v1.csv")]
    for source in sources:
        source.parent.mkdir(exist_ok=True)
        table.to_csv(source, index_label="date")
    inferencer = ITransformerInferencer(config(), checkpoint, device="cpu")
    result = inferencer([*sources, table], out_dir=tmp_path / "out", with_attention=False)
    names = [[file.name for file in files] for files in result["visualization"]]
    stems = ["load.v1", "load.v2", "load.v1_2", "series4"]
    assert names == [[f"{stem}_forecast.csv", f"{stem}_forecast.png"] for stem in stems]
    assert len(list((tmp_path / "out").iterdir())) == 8


def written(model, path: Path) -> Path:
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": META, "model": model.settings}}, path)
    return path


def test_a_variant_without_maps_forecasts_without_them_unless_they_are_asked_for(table, tmp_path):
    attention = {"type": "FlowAttention"}
    model = ITransformer(**SETTINGS, attention=attention).eval()
    inferencer = ITransformerInferencer(config(attention=attention), written(model, tmp_path / "a.pth"), device="cpu")
    result = inferencer(table, out_dir=tmp_path / "out")
    forecast = result["predictions"][0]
    np.testing.assert_allclose(forecast.values.to_numpy(), by_hand(model, table[-24:]), rtol=1e-5)
    assert forecast.attention is None
    assert [file.name for file in result["visualization"][0]] == ["series1_forecast.csv", "series1_forecast.png"]
    with pytest.raises(ValueError, match=r"FlowAttention .* Fix: set with_attention=False"):
        inferencer(table, with_attention=True)


def test_a_model_over_time_tokens_is_given_the_time_features_of_the_forecast(table, tmp_path):
    settings = SETTINGS | {"type": "TemporalTransformer", "label_len": 12, "enc_in": 3, "n_marks": 4}
    configuration = config()
    configuration.model = settings
    torch.manual_seed(0)
    model = TemporalTransformer(**{name: value for name, value in settings.items() if name != "type"}).eval()
    inferencer = ITransformerInferencer(configuration, written(model, tmp_path / "a.pth"), device="cpu")
    forecast = inferencer(table)["predictions"][0]
    window = torch.tensor((table[-24:].to_numpy() - META["mean"]) / META["std"], dtype=torch.float32)[None]
    dates = pd.date_range(table.index[-24], periods=32, freq="h")
    marks = torch.tensor(time_features(dates, "h"), dtype=torch.float32)[None]
    with torch.no_grad():
        expected = model(window, marks[:, :24], future_marks=marks[:, 24:])[0].numpy() * META["std"] + META["mean"]
    np.testing.assert_allclose(forecast.values.to_numpy(), expected, rtol=1e-5)
    assert list(forecast.values.index) == list(dates[24:])
    assert forecast.attention is None


def test_a_model_of_another_task_is_refused(checkpoint, tmp_path):
    settings = {name: value for name, value in SETTINGS.items() if name != "pred_len"}
    imputer = written(ITransformerImputer(**settings), tmp_path / "imputer.pth")
    imputing = config()
    imputing.model = dict(settings, type="ITransformerImputer")
    for weights in (imputer, checkpoint):
        with pytest.raises(ValueError, match=r"^the config holds a model of task 'imputation', which does not"):
            ITransformerInferencer(imputing, weights, device="cpu")
    with pytest.raises(ValueError, match=r"imputer\.pth holds a model of task 'imputation', which does not"):
        ITransformerInferencer(config(), imputer, device="cpu")
