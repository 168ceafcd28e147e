"""Windows: the right rows, scaled by the training rows alone, whole batches in one go."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from mmrepro.datasets.series import SeriesError, SeriesWarning
from mmrepro.datasets.windows import WindowDataset, identity_collate

ROWS, LENGTH, HORIZON = 60, 6, 3


class Halves(WindowDataset):
    """The first half trains; the rest validates and tests alike."""

    calls = 0

    def borders(self, n_rows, split):
        half = n_rows // 2
        return (0, half) if split == "train" else (half - self.seq_len, n_rows)

    def __getitems__(self, indices):
        self.calls += 1
        return super().__getitems__(indices)


@pytest.fixture
def table(tmp_path):
    """Return the path and the values of a file whose columns are called OT, a, b (the target comes first)."""
    values = np.random.default_rng(0).normal(3, 2, (ROWS, 3))
    frame = pd.DataFrame(values, columns=["OT", "a", "b"])
    frame.insert(0, "date", pd.date_range("2020-01-01", periods=ROWS, freq="h"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv", values


def make(table, split="train", **options) -> Halves:
    return Halves(split, LENGTH, HORIZON, file=table[0], **options)


def scaled(values: np.ndarray) -> np.ndarray:
    train = values[: ROWS // 2]
    return (values - train.mean(0)) / train.std(0)


@pytest.mark.parametrize(
    ("split", "first_row"), [("train", 0), ("val", ROWS // 2 - LENGTH), ("test", ROWS // 2 - LENGTH)]
)
def test_a_window_is_the_rows_from_its_index_on(table, split, first_row):
    windows = make(table, split)
    expected = scaled(table[1])[:, [1, 2, 0]]  # the target is moved last
    for index in (0, 1, len(windows) - 1):
        row = first_row + index
        window = windows[index]
        np.testing.assert_allclose(window["inputs"], expected[row : row + LENGTH], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            window["targets"], expected[row + LENGTH : row + LENGTH + HORIZON], rtol=1e-6, atol=1e-7
        )
        assert window["marks"].shape == (LENGTH, 4)
        assert windows.dates[index] == pd.Timestamp("2020-01-01") + pd.Timedelta(hours=row)
    assert len(windows) == ROWS // 2 + (0 if split == "train" else LENGTH) - LENGTH - HORIZON + 1
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_a_batch_is_its_windows(table):
    windows = make(table)
    batch = windows.__getitems__([4, 0, 9])
    for place, index in enumerate([4, 0, 9]):
        for name, rows in windows[index].items():
            assert torch.equal(batch[name][place], rows)


def test_one_window_is_a_view_of_the_one_array(table):
    windows = make(table)
    storages = {
        part.untyped_storage().data_ptr() for part in (windows[0]["inputs"], windows[7]["targets"], windows.values)
    }
    assert len(storages) == 1
    assert windows.values.dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_asks_once_per_batch_and_keeps_the_order(table, workers):
    windows = make(table)
    loader = DataLoader(windows, batch_size=8, collate_fn=FUNCTIONS.get("identity_collate"), num_workers=workers)
    batches = list(loader)
    assert [len(batch["inputs"]) for batch in batches] == [8, 8, 6]
    assert torch.equal(torch.cat([batch["targets"] for batch in batches]), windows.__getitems__(range(22))["targets"])
    if not workers:
        assert windows.calls - 1 == len(batches)
    assert identity_collate(batches[0]) is batches[0]


def test_the_target_alone(table):
    windows = make(table, features="S")
    assert windows.columns == ("OT",)
    np.testing.assert_allclose(windows.values[:, 0], scaled(table[1])[: ROWS // 2, 0], rtol=1e-6, atol=1e-7)


def test_all_variates_in_and_the_target_out(table):
    windows = make(table, features="MS", target="a")
    assert windows.columns == ("OT", "b", "a")
    batch = windows.__getitems__([0, 1])
    assert batch["inputs"].shape == (2, LENGTH, 3)
    np.testing.assert_allclose(batch["targets"][0, :, 0], scaled(table[1])[LENGTH : LENGTH + HORIZON, 1], rtol=1e-6)


@pytest.mark.parametrize("variates", [[2, 0], ["OT", "a"]])
def test_a_choice_of_variates(table, variates):
    windows = make(table, variates=variates)
    assert windows.columns == ("OT", "a")
    np.testing.assert_allclose(windows.values, scaled(table[1])[: ROWS // 2, :2], rtol=1e-6, atol=1e-7)


def test_time_features_by_option(table):
    assert make(table, time_features=False)[0]["marks"] is None
    assert make(table, time_features="calendar")[5]["marks"][0].tolist() == [1, 1, 2, 5]
    assert make(table, freq="t")[0]["marks"].shape == (LENGTH, 5)


@pytest.mark.parametrize("time_features", [True, "calendar"])
def test_the_future_has_marks_by_option(table, time_features):
    windows = make(table, future_marks=True, time_features=time_features)
    plain = make(table, time_features=time_features)
    assert "future_marks" not in plain[0]
    for index in (0, 5, len(windows) - 1):
        assert torch.equal(windows[index]["marks"], plain[index]["marks"])
        assert torch.equal(windows[index]["future_marks"], windows.marks[index + LENGTH : index + LENGTH + HORIZON])
    batch = windows.__getitems__([3, 9])
    assert batch["future_marks"].shape == (2, HORIZON, 4)
    assert torch.equal(batch["future_marks"][1], windows[9]["future_marks"])
    assert windows[0]["future_marks"].untyped_storage().data_ptr() == windows.marks.untyped_storage().data_ptr()


def test_the_future_has_no_marks_where_there_are_none(table):
    assert make(table, future_marks=True, time_features=False).__getitems__([0])["future_marks"] is None


def test_counting_from_the_end_gives_marks_of_the_same_window(table):
    windows = make(table)
    last = len(windows) - 1
    assert all(torch.equal(rows, windows[last][name]) for name, rows in windows[-1].items())


def test_without_scaling_the_values_stay(table):
    windows = make(table, scale=False, variates=["OT", "a", "b"])
    np.testing.assert_allclose(windows.values, table[1][: ROWS // 2], rtol=1e-6)
    assert windows.std.tolist() == [1, 1, 1]


def test_metainfo_is_plain_and_undoes_the_scaling(table):
    info = make(table).metainfo
    assert json.loads(json.dumps(info)) == info
    assert info["columns"] == ["a", "b", "OT"]
    assert (info["seq_len"], info["pred_len"], info["freq"], info["time_features"]) == (LENGTH, HORIZON, "h", True)
    restored = make(table).values.numpy() * info["std"] + info["mean"]
    np.testing.assert_allclose(restored, table[1][: ROWS // 2, [1, 2, 0]], rtol=1e-5)


def test_it_can_be_sent_to_another_process(table):
    windows = make(table)
    copy = pickle.loads(pickle.dumps(windows))
    assert torch.equal(copy[3]["inputs"], windows[3]["inputs"])


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_constant_variate_is_scaled_by_one_with_a_warning(tmp_path, table, constant):
    frame = pd.read_csv(table[0])
    frame.loc[: ROWS // 2, "b"] = constant
    frame.to_csv(tmp_path / "constant.csv", index=False)
    with pytest.warns(SeriesWarning, match=r"constant\.csv: 1 constant variates .* column 'b'; they are scaled by 1"):
        windows = make((tmp_path / "constant.csv", None))
    assert windows.std[1] == 1
    assert np.abs(windows.values[:, 1].numpy()).max() < 1e-6


def test_a_file_is_also_found_below_the_data_root(table, monkeypatch):
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(table[0].parent))
    assert len(Halves("train", LENGTH, HORIZON, file="table.csv")) == 22
    with pytest.raises(FileNotFoundError, match=r"absent\.csv: no such file"):
        Halves("train", LENGTH, HORIZON, file="absent.csv")


WRONG = {
    "split": ({"split": "all"}, "split='all' is not known. Fix: use one of 'train', 'val', 'test'"),
    "features": ({"features": "X"}, "features='X' is not known"),
    "time_features": ({"time_features": "yes"}, "time_features='yes' is not known"),
    "data and file": ({"data": "etth1"}, "give either data .* or file"),
    "MS without its target": ({"features": "MS", "variates": ["a", "b"]}, "must end with the target 'OT'"),
}


@pytest.mark.parametrize(("options", "text"), WRONG.values(), ids=WRONG)
def test_an_option_without_meaning_is_refused(table, options, text):
    with pytest.raises(ValueError, match=text):
        make(table, **options)


@pytest.mark.parametrize("lengths", [(0, 1), (1, 0)])
def test_windows_have_a_length(table, lengths):
    with pytest.raises(ValueError, match="must be at least 1"):
        Halves("train", *lengths, file=table[0])


def test_columns_that_are_not_there_list_those_that_are(table):
    with pytest.raises(SeriesError, match=r"has no column 'load' \(found: OT, a, b\)\. Fix: set target"):
        make(table, features="S", target="load")
    with pytest.raises(SeriesError, match=r"variates=\['c'\] names a column that is not there \(3 columns: a, b, OT\)"):
        make(table, variates=["c"])


def test_time_features_need_dates(tmp_path):
    (tmp_path / "numbers.csv").write_text("a\n" + "1\n2\n" * ROWS)
    options = {"file": tmp_path / "numbers.csv", "date_column": None}
    assert Halves("train", LENGTH, HORIZON, time_features=False, **options)[0]["marks"] is None
    with pytest.raises(SeriesError, match=r"numbers\.csv has no dates\. Fix: set time_features=False"):
        Halves("train", LENGTH, HORIZON, **options)
