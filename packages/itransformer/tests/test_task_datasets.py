"""The data sets of the tasks beside forecasting: which values are hidden, which rows are scored, which files fit."""

import numpy as np
import pandas as pd
import pytest
import torch

from mm_itransformer.datasets.anomaly import AnomalyDataset
from mm_itransformer.datasets.classification import ClassificationDataset
from mm_itransformer.datasets.imputation import ImputationWindows
from mm_itransformer.evaluation.anomaly_metric import REFERENCE, REPEATED
from mmrepro.datasets.lorenz96_windows import Lorenz96Dataset
from mmrepro.datasets.series import SeriesError
from mmrepro.engine.seeded_data import SeededDataset, SeededIndices


def gaps(split: str, mask_rate: float = 0.25, **options) -> ImputationWindows:
    windows = Lorenz96Dataset(split, 24, 1, generate={"steps": 400, "variates": 5}, time_features=True)
    return ImputationWindows(windows, mask_rate, **options)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_hides_the_same_values_every_time(split):
    one, other = gaps(split), gaps(split)
    batch = one.__getitems__([3, 0, 7])
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "inputs": (3, 24, 5),
        "marks": (3, 24, 4),
        "mask": (3, 24, 5),
    }
    for row, index in enumerate([3, 0, 7]):
        for key, value in other[index].items():
            assert torch.equal(value, batch[key][row])
    assert not torch.equal(batch["mask"][0], batch["mask"][1])
    assert not torch.equal(gaps(split, seed=1)[3]["mask"], batch["mask"][0])


def test_training_hides_other_values_each_time_by_the_engines_seed():
    seeded = SeededDataset(gaps("train"))
    first, again, other = (seeded.__getitems__(SeededIndices((0, e, 0, 0), [5, 6])) for e in (0, 0, 1))
    assert torch.equal(first["mask"], again["mask"])
    assert not torch.equal(first["mask"], other["mask"])
    assert torch.equal(first["inputs"], other["inputs"])
    assert seeded.metainfo["mask_rate"] == 0.25
    assert seeded.metainfo["columns"] == ["x1", "x2", "x3", "x4", "x5"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("mask_rate", [0.125, 0.5])
def test_the_rate_is_the_share_that_is_hidden(split, mask_rate):
    torch.manual_seed(0)
    mask = gaps(split, mask_rate).__getitems__(list(range(50)))["mask"]
    assert 1 - mask.double().mean().item() == pytest.approx(mask_rate, abs=0.02)


def test_windows_without_marks_have_none():
    windows = ImputationWindows({"type": "Lorenz96Dataset", "split": "test", "seq_len": 24, "pred_len": 1})
    assert windows[0]["marks"] is None
    assert len(windows) == len(windows.dataset)


@pytest.mark.parametrize("mask_rate", [0, 1, 1.5])
def test_a_rate_that_hides_nothing_or_all_is_refused(mask_rate):
    with pytest.raises(ValueError, match="mask_rate"):
        gaps("train", mask_rate)


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    """A training file of 50 rows and a test file of 23 with labels, columns in another order."""
    values = np.random.default_rng(0).normal(size=(73, 2)) * [1, 10] + [5, -2]
    dates = pd.date_range("2020-01-01", periods=73, freq="h")
    frame = pd.DataFrame({"date": dates, "flow": values[:, 0], "heat": values[:, 1]})
    test = frame[50:][["date", "heat", "flow"]].reset_index(drop=True)
    test["label"] = [int(10 <= row < 14) for row in range(23)]
    return {"train": frame[:50], "test": test}


@pytest.fixture
def load(tmp_path, frames):
    """Return a function that writes the files and loads a split."""

    def write_and_load(split: str, **options) -> AnomalyDataset:
        files = {}
        for name, frame in frames.items():
            files[f"{name}_file"] = tmp_path / f"{name}.csv"
            frame.to_csv(files[f"{name}_file"], index=False)
        return AnomalyDataset(split, **({"seq_len": 8} | files | options))

    return write_and_load


def test_validation_is_held_out_and_the_scaler_is_the_trainings(load, frames):
    train, val = load("train"), load("val")
    rows = frames["train"][["flow", "heat"]].to_numpy()
    assert (len(train), len(val)) == (40 - 8 + 1, 10 - 8 + 1)
    assert train.mean == pytest.approx(rows[:40].mean(0))
    assert train.std == pytest.approx(rows[:40].std(0))
    scaled = (rows - rows[:40].mean(0)) / rows[:40].std(0)
    assert train[32]["inputs"].numpy() == pytest.approx(scaled[32:40], abs=1e-5)
    assert val[0]["inputs"].numpy() == pytest.approx(scaled[40:48], abs=1e-5)
    assert list(train[0]) == ["inputs"]
    assert len(load("train", stride=4)) == 9
    assert train.metainfo["columns"] == ["flow", "heat"]


@pytest.mark.parametrize("seq_len", [7, 8, 23])
def test_every_row_is_scored_once_and_in_order(load, frames, seq_len):
    test = load("test", seq_len=seq_len)
    batch = test.__getitems__(list(range(len(test))))
    rows = pd.concat([frames["train"], frames["test"]])[["flow", "heat"]].to_numpy()
    counted = batch["labels"] != REPEATED
    scaled = (rows - test.mean) / test.std
    assert batch["inputs"][counted].numpy() == pytest.approx(scaled, abs=1e-5)
    assert batch["labels"][counted].tolist() == [REFERENCE] * 50 + frames["test"]["label"].tolist()


def test_a_constant_sensor_is_scaled_by_one(load, frames):
    frames["train"] = frames["train"].assign(heat=0.1)
    assert load("train").std[1] == 1


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: f["test"].rename(columns={"heat": "warmth"}), ["missing: heat", "too many: warmth"]),
        (lambda f: f["test"].drop(columns="label"), ["missing: label", "set label_column"]),
        (lambda f: f["test"].assign(label=2), ["column 'label' holds 2", "write 1 for anomalous rows"]),
        (lambda f: f["test"][:5], ["the test split has 5 of 5 rows, fewer than seq_len = 8"]),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(load, frames, change, parts):
    frames["test"] = change(frames)
    with pytest.raises(SeriesError) as caught:
        load("test")
    for part in ("test.csv", "Fix: ", *parts):
        assert part in str(caught.value)


def test_a_training_file_of_labels_alone_is_refused(load, frames):
    frames["train"] = frames["train"][["date"]].assign(label=0)
    with pytest.raises(SeriesError, match=r"train\.csv has only the column 'label'\. Fix: add columns"):
        load("train")


@pytest.mark.parametrize("options", [{"split": "all"}, {"seq_len": 0}, {"stride": 0}, {"val_share": 1}])
def test_options_without_a_meaning_are_refused(load, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load(**({"split": "train"} | options))


def test_a_file_that_is_nowhere_is_named(tmp_path, load):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv: no such file"):
        load("train", train_file=tmp_path / "absent.csv")
    assert len(load("train", train_file="train.csv", data_root=tmp_path)) == 33


TS = """# a comment
@problemName Waves
@timestamps false
@classLabel true up down
@data
1,2,?,4:10,20,30,40:up
4,3,2,1:40,30,20,10:down
1,2:5,5:up
"""


def test_ts_files_are_read_filled_and_scaled_by_the_training_file(tmp_path):
    (tmp_path / "waves_TRAIN.ts").write_text(TS)
    (tmp_path / "waves_TEST.ts").write_text("@data\n7,7:1,2:down\n")
    train = ClassificationDataset(tmp_path / "waves_TRAIN.ts")
    assert train.metainfo["classes"] == ["down", "up"]
    assert train.labels.tolist() == [1, 0, 1]
    assert train.inputs.shape == (3, 4, 2)
    known = np.array([1, 2, 4, 4, 3, 2, 1, 1, 2])
    assert (train.mean[0], train.std[0]) == pytest.approx((known.mean(), known.std()))
    assert train.inputs[0, :, 0].numpy() == pytest.approx((np.array([1, 2, 3, 4]) - known.mean()) / known.std())
    assert not train.inputs[2, 2:].any()
    test = ClassificationDataset("waves_TEST.ts", "waves_TRAIN.ts", data_root=tmp_path)
    assert test[0]["inputs"][:2, 0].numpy() == pytest.approx((7 - known.mean()) / known.std())
    batch = test.__getitems__([0])
    assert batch["inputs"].shape == (1, 4, 2)
    assert batch["labels"].tolist() == [0]


def test_arrays_are_read_with_numbers_or_names(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(6, 5, 3))
    for labels in ([0, 1, 2, 0, 1, 2], list("abcabc")):
        np.savez(tmp_path / "own.npz", inputs=inputs, labels=labels)
        windows = ClassificationDataset(tmp_path / "own.npz", seq_len=7)
        assert windows.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert windows.inputs.shape == (6, 7, 3)
        assert windows.inputs[:, :5].numpy() == pytest.approx(
            (inputs - inputs.mean((0, 1))) / inputs.std((0, 1)), abs=1e-5
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2:3,4:up\n", "no line '@data'"),
        ("@data\n", "there is no window in it"),
        ("@data\n1,x:3,4:up\n", "line 2 cannot be read"),
        ("@data\n1,2:3,4,5:up\n", "line 2 cannot be read"),
        ("@data\nup\n", "line 2 has no class"),
        ("@timestamps true\n@data\n", "line 1: @timestamps true is not read"),
        ("@data\n1,2:3,4:up\n1,2:up\n", "window 1 has 1 series, the training file's first one 2"),
        ("@data\n1,2,3,4,5:1,2,3,4,5:up\n", "window 0 has 5 steps, more than seq_len=4"),
        ("@data\n1,2:3,4:up\n1,inf:3,4:up\n", "window 1 holds an infinite value"),
        ("@data\n1,2:3,4:left\n", "class 'left', which the training file lacks"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "waves_TRAIN.ts").write_text(TS)
    (tmp_path / "odd.ts").write_text(text)
    with pytest.raises(SeriesError, match=message) as caught:
        ClassificationDataset(tmp_path / "odd.ts", tmp_path / "waves_TRAIN.ts")
    assert "odd.ts" in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_arrays_of_other_names_or_shapes_are_refused(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.zeros(3))
    with pytest.raises(SeriesError, match=r"own\.npz holds x\. Fix: save inputs"):
        ClassificationDataset(tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", inputs=np.zeros((3, 4)), labels=np.zeros(3))
    with pytest.raises(SeriesError, match=r"inputs have shape \(3, 4\)"):
        ClassificationDataset(tmp_path / "own.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.full((2, 3, 1), np.inf)}, "window 0 holds an infinite value"),
        ({"inputs": np.full((2, 3, 1), "1.5")}, "inputs are of type <U3"),
        ({"inputs": np.full((2, 3, 1), 1j)}, "inputs are of type complex128"),
        ({"inputs": np.full((2, 3, 1), None)}, "cannot be read"),
        ({"labels": np.array(["a", None])}, "cannot be read"),
    ],
)
def test_arrays_that_are_no_numbers_are_refused_by_name(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **({"inputs": np.ones((2, 3, 1)), "labels": [0, 1]} | arrays))
    with pytest.raises(SeriesError, match=rf"own\.npz.*{message}.*Fix: "):
        ClassificationDataset(tmp_path / "own.npz")


def damaged(content: bytes) -> bytes:
    return content.replace(np.ones(8).tobytes(), np.zeros(8).tobytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"garbage", "is no .npz file"),
        (lambda content: b"", "is no .npz file"),
        (lambda content: content[: len(content) // 2], "is no .npz file"),
        (damaged, "cannot be read"),
    ],
)
def test_a_damaged_file_of_arrays_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "own.npz"
    np.savez(path, inputs=np.ones((2, 4, 3)), labels=[0, 1])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SeriesError, match=rf"own\.npz {message}.*Fix: "):
        ClassificationDataset(path)


def test_a_text_in_another_encoding_is_refused_by_name(tmp_path):
    (tmp_path / "odd.ts").write_bytes("@data\n1,2:3,4:für\n".encode("latin-1"))
    with pytest.raises(SeriesError, match=r"odd\.ts is no text in UTF-8 .*Fix: save it in that encoding"):
        ClassificationDataset(tmp_path / "odd.ts")
