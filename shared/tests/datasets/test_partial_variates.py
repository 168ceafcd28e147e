"""Training on some of the variates: the right ones, drawn alike whatever the workers, and the scaler of all kept."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mmrepro.datasets.partial_variates import PartialVariates
from mmrepro.datasets.series import SeriesError
from mmrepro.datasets.windows import WindowDataset
from mmrepro.engine.seeded_data import seeded_dataloader

ROWS, LENGTH, HORIZON = 60, 4, 2
COLUMNS = ("a", "b", "c", "d", "OT")  # as the data set orders them


@DATASETS.register_module()
class PartialToy(WindowDataset):
    """All rows are for training, the second half for the other splits too."""

    def borders(self, n_rows, split):
        return (0 if split == "train" else n_rows // 2, n_rows)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file whose target comes second; the numbers of each column are its own."""
    values = np.random.default_rng(0).normal(size=(ROWS, 5)) + 10 * np.arange(5)
    frame = pd.DataFrame(values, columns=list(COLUMNS))[["a", "OT", "b", "c", "d"]]
    frame.insert(0, "date", pd.date_range("2020-01-01", periods=ROWS, freq="h"))
    path = tmp_path_factory.mktemp("partial") / "table.csv"
    frame.to_csv(path, index=False)
    return path


def make(file, split="train", **options) -> PartialToy:
    return PartialToy(split, LENGTH, HORIZON, file=file, **options)


def columns_of(batch: dict, whole: PartialToy, index: int) -> list[str]:
    """Return the names of a batch's variates, found by the numbers of its first window, which begins at ``index``."""
    first = whole[index]
    places = [(series == first["inputs"].T).all(1).nonzero().item() for series in batch["inputs"][0].T]
    for part in ("inputs", "targets"):
        assert torch.equal(batch[part][0], first[part][:, places])
    return [COLUMNS[place] for place in places]


@pytest.mark.parametrize(
    ("variates", "kept"),
    [
        (dict(first=2), ["a", "b"]),
        (dict(first=2, start=2), ["c", "d"]),
        (dict(first=4, start=3), ["d", "OT"]),  # only so many are left
        (dict(random=3), list(COLUMNS)),
    ],
)
def test_a_subset_keeps_columns_and_scaler_of_all_for_the_forecast(file, variates, kept):
    whole, part = make(file), make(file, variates=variates)
    assert list(part.columns) == kept
    places = [COLUMNS.index(name) for name in kept]
    assert torch.equal(part.values, whole.values[:, places])
    info = part.metainfo
    assert json.loads(json.dumps(info)) == info
    assert info == whole.metainfo | {"trained_columns": kept, "variates": variates}
    assert info["columns"] == list(COLUMNS)
    assert len(info["mean"]) == len(info["std"]) == 5


def test_columns_by_name_are_a_data_set_of_their_own(file):
    info = make(file, variates=["b", "OT"]).metainfo
    assert info["columns"] == info["trained_columns"] == ["b", "OT"]
    assert info["variates"] is None


def test_every_batch_draws_another_subset_of_all_variates(file):
    whole, part = make(file), make(file, variates=dict(random=2))
    random.seed(1)
    drawn = [columns_of(part.__getitems__([7, 20, 3]), whole, 7) for _ in range(30)]
    assert all(len(set(names)) == 2 for names in drawn)
    assert {name for names in drawn for name in names} == set(COLUMNS)
    assert len({frozenset(names) for names in drawn}) > 5
    assert part[7]["inputs"].shape == (LENGTH, 5)  # a window alone has all


def test_a_batch_has_the_same_variates_in_all_its_windows(file):
    whole, part = make(file), make(file, variates=dict(random=2))
    batch = part.__getitems__([7, 20])
    places = [COLUMNS.index(name) for name in columns_of(batch, whole, 7)]
    assert torch.equal(batch["inputs"][1], whole[20]["inputs"][:, places])
    assert batch["inputs"].shape == (2, LENGTH, 2)
    assert batch["marks"].shape == (2, LENGTH, 4)


def test_the_official_efficient_training_only_changes_the_order(file):
    whole, part = make(file), make(file, variates=dict(first=3, start=1, shuffle=True))
    orders = {tuple(columns_of(part.__getitems__([5, 6]), whole, 5)) for _ in range(60)}
    assert {frozenset(order) for order in orders} == {frozenset("bcd")}
    assert len(orders) == 6


def batches_of(file, workers: int, epoch: int, skip: int = 0, seed: int = 3) -> list[dict]:
    dataset = dict(type="PartialToy", split="train", seq_len=LENGTH, pred_len=HORIZON, file=str(file))
    config = dict(
        batch_size=8,
        num_workers=workers,
        sampler=dict(type="DefaultSampler", shuffle=True),
        collate_fn=dict(type="identity_collate"),
        dataset=dataset | {"variates": dict(random=2)},
    )
    loader = Runner.build_dataloader(seeded_dataloader(config, seed), seed=seed)
    loader.batch_sampler.start(epoch, skip)
    return list(loader)


def test_what_is_drawn_depends_on_seed_epoch_and_batch_alone(file):
    first = batches_of(file, 0, epoch=1)
    torch.manual_seed(99)
    random.seed(99)
    for other, expected in ((batches_of(file, 2, epoch=1), first), (batches_of(file, 0, epoch=1, skip=3), first[3:])):
        assert len(other) == len(expected)
        for one, two in zip(other, expected, strict=True):
            assert all(torch.equal(one[name], two[name]) for name in ("inputs", "marks", "targets"))
    for other in (batches_of(file, 0, epoch=2), batches_of(file, 0, epoch=1, seed=4)):
        assert not torch.equal(other[0]["inputs"], first[0]["inputs"])


def test_the_target_may_be_in_the_last_place_of_a_slice(file):
    part = make(file, features="MS", variates=dict(first=2, start=3))
    assert part.columns == ("d", "OT")
    assert part[0]["targets"].shape == (HORIZON, 1)
    with pytest.raises(ValueError, match=r"keeps the positions 0 to 1 of 5, but features='MS' needs the target 'OT'"):
        make(file, features="MS", variates=dict(first=2))


WRONG = {
    "both": (dict(first=2, random=2), {}, r"variates=\{'first': 2, 'random': 2\} has no meaning. Fix: write dict"),
    "none": ({}, {}, r"variates=\{\} has no meaning"),
    "random from a start": (dict(random=2, start=1), {}, "has no meaning"),
    "shuffled at random": (dict(random=2, shuffle=True), {}, "has no meaning"),
    "zero": (dict(first=0), {}, "give whole numbers, of variates at least 1"),
    "fraction": (dict(random=1.5), {}, "give whole numbers"),
    "negative start": (dict(first=1, start=-1), {}, "a start of 0 or more"),
    "unknown": (dict(last=2), {}, r"variates=\{'last': 2\} is not known. Fix: write dict\(first=K\)"),
    "S": (dict(first=1), {"features": "S"}, "features='S' reads the target alone"),
    "MS drawn": (dict(random=2), {"features": "MS"}, "needs the target in the last place"),
    "val drawn": (dict(random=2), {"split": "val"}, "the val split must give the same numbers every time"),
    "test shuffled": (dict(first=2, shuffle=True), {"split": "test"}, "which is for training"),
}


@pytest.mark.parametrize(("variates", "options", "text"), WRONG.values(), ids=WRONG)
def test_a_choice_without_meaning_is_refused(file, variates, options, text):
    with pytest.raises(ValueError, match=text):
        make(file, variates=variates, **options)


def test_a_start_behind_the_last_variate_is_refused_by_the_files_name(file):
    with pytest.raises(SeriesError, match=r"table\.csv: variates=.* but the series has only 5\. Fix: give a smaller"):
        make(file, variates=dict(first=1, start=5))


def test_more_variates_than_the_file_has_are_all(file):
    whole = make(file)
    assert make(file, variates=dict(first=9)).columns == COLUMNS
    drawn = columns_of(make(file, variates=dict(random=9)).__getitems__([3]), whole, 3)
    assert sorted(drawn) == sorted(COLUMNS)


def test_an_option_is_what_a_config_wrote():
    for option in (dict(first=27), dict(first=3, start=2, shuffle=True), dict(random=27)):
        assert PartialVariates.of(option).option == option
