"""Adult and bank marketing: the split, codes of the training rows alone, and rows that do not fit."""

import gzip

import numpy as np
import pytest
import torch

from mm_meta_transformer.datasets.adult import SIZES, AdultDataset, GeneratedAdultDataset
from mm_meta_transformer.datasets.bank import BankMarketingDataset, GeneratedBankDataset
from mm_meta_transformer.datasets.table import TableError, TableWarning
from mm_meta_transformer.datasets.table_codes import TableCodes
from mm_meta_transformer.datasets.table_rows import TableDataset
from mmrepro.datasets.generated.tables import adult_files, bank_file
from mmrepro.testing import require_data

PARTS = ("train", "val", "test")
pytestmark = pytest.mark.filterwarnings("ignore::mm_meta_transformer.datasets.table.TableWarning")


def adult(part, **settings):
    return GeneratedAdultDataset(part, serialize_data=False, **settings)  # packing them would take most of the time


def samples(dataset):
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def test_the_parts_are_disjoint_complete_and_of_equal_shares():
    rows = {part: samples(adult(part)) for part in PARTS}
    everything = samples(adult("all"))
    numbers = [row["row"] for part in PARTS for row in rows[part]]
    assert sorted(numbers) == sorted(row["row"] for row in everything) == list(range(len(everything)))
    assert 100 < len(everything) < 120  # a few of 120 lack an occupation
    assert [round(len(rows[part]) / len(everything), 1) for part in PARTS] == [0.8, 0.1, 0.1]
    share = np.mean([row["gt_label"] for row in everything])
    assert all(abs(np.mean([row["gt_label"] for row in rows[part]]) - share) < 0.06 for part in PARTS)


def test_rows_without_a_cell_are_counted():
    with pytest.warns(TableWarning, match="of 120 rows lack a value and are left out: 'occupation'"):
        adult("train")


def test_every_part_has_the_codes_of_the_training_rows():
    train, test = adult("train"), adult("test")
    assert train.metainfo["table"] == test.metainfo["table"]
    table = TableCodes.of_plain(train.metainfo["table"])
    assert (table.num_codes, len(table.categories), list(table.continuous)) == (486, 12, ["fnlwgt"])
    first = train.get_data_info(0)
    assert first["codes"].shape == (12,)
    assert first["values"].shape == (1,)
    # education stands behind age and workclass, which have room for 74 and 7 values
    assert {row["codes"][2] for row in samples(train)} == {82, 83, 84}
    values = np.array([row["values"] for row in samples(train)])
    assert (values.mean(), values.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))


def test_codes_may_be_shared_as_in_the_official_scripts():
    rows = samples(adult("train", shared_codes=True))
    assert all(min(row["codes"][column] for row in rows) == 1 for column in range(12))


def test_seeds_choose_the_split():
    def order(**seeds):
        return [row["row"] for row in samples(adult("test", **seeds))]

    assert order() == order()
    assert order() != order(shuffle_seed=1)
    assert order() != order(split_seed=2)


def test_all_columns_of_the_bank_but_one_are_categorical():
    dataset = GeneratedBankDataset("train", serialize_data=False)
    table = TableCodes.of_plain(dataset.metainfo["table"])
    assert (table.num_codes, len(table.categories), table.continuous) == (597, 19, {})
    assert "duration" not in table.categories
    assert dataset.get_data_info(0)["values"].shape == (0,)
    assert dataset.metainfo["classes"] == ("no", "yes")


def test_labels_that_are_no_class_and_columns_that_are_not_there_are_named():
    folder = str(adult_files())
    with pytest.raises(
        TableError, match=r"adult.data.*, line \d+: 'target' is '[<>]=?50k.?', none of the classes rich, poor"
    ):
        AdultDataset("train", data_root=folder, classes=("rich", "poor"))
    with pytest.raises(TableError, match="has no column weight"):
        BankMarketingDataset("train", str(bank_file()), continuous=("weight",))
    with pytest.raises(TableError, match=r"'age' has .* different values, 2 are foreseen"):
        AdultDataset("train", data_root=folder, sizes=SIZES | {"age": 2})
    with pytest.raises(ValueError, match="split='dev' is not known"):
        AdultDataset("dev", data_root=folder)


def test_a_table_of_ones_own(tmp_path):
    lines = [f"{number},{'ab'[number % 2]},{'xyz'[number % 3]}" for number in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["size,kind,answer", *lines]))
    own = dict(files="own.csv", data_root=str(tmp_path), target="answer", classes=("x", "y", "z"), continuous=("size",))
    dataset = TableDataset(split="val", serialize_data=False, **own)
    assert {row["gt_label"] for row in samples(dataset)} == {0, 1, 2}
    assert dataset.metainfo["table"]["categories"]["kind"] in (["a", "b"], ["b", "a"])
    (tmp_path / "own.csv").write_text("\n".join(["size,kind,answer", *lines[:6]]))
    with pytest.raises(TableError, match="6 rows cannot be split 80 / 10 / 10"):
        TableDataset(split="val", **own)


def table_of(path, colours, count=60):
    lines = [f"{colours[number % 3]},{number},{'yes' if number % 2 else 'no'}" for number in range(count)]
    path.write_text("\n".join(["colour,price,bought", *lines]))
    return dict(files=str(path), target="bought", classes=("no", "yes"), continuous=("price",), serialize_data=False)


def test_names_of_columns_are_the_same_in_upper_and_lower_case(tmp_path):
    own = table_of(tmp_path / "own.csv", ("red", "blue", "green"))
    plain = TableDataset(split="train", **own)
    header, *lines = (tmp_path / "own.csv").read_text().split("\n")
    (tmp_path / "own.csv").write_text("\n".join([header.title() + ", NOTE", *(f"{line},x" for line in lines)]))
    named = dict(own, target="BOUGHT", continuous=("Price",), drop=("Note",), sizes={"coloUR": 4})
    other = TableDataset(split="train", **named)
    assert other.metainfo["table"] == plain.metainfo["table"] | {"sizes": {"colour": 4}}
    renamed = dict(named, names=("Colour", "Price", "Bought", "Note"), codes=plain.metainfo["table"])
    (tmp_path / "own.csv").write_text("\n".join(f"{line},x" for line in lines))
    assert len(TableDataset(split="all", **renamed)) == len(lines)


def test_sizes_name_all_columns_of_categories_and_no_others(tmp_path):
    own = table_of(tmp_path / "own.csv", ("red", "blue", "green"))
    with pytest.raises(
        TableError, match=r"has no column color; it has colour, price, bought\. Fix: .*categories of the"
    ):
        TableDataset(split="train", sizes=dict(color=8), **own)
    with pytest.raises(TableError, match=r"nothing says what the columns colour are\. Fix: name each in sizes"):
        TableDataset(split="train", sizes={}, **own)
    with pytest.raises(
        TableError, match=r"3 different values, 2 are foreseen\. Fix: colour=3 in sizes \(categories of"
    ):
        TableDataset(split="train", sizes=dict(colour=2), **own)


def test_a_packed_file_stands_in_for_a_plain_one(tmp_path):
    own = table_of(tmp_path / "own.csv", ("red", "blue", "green"))
    plain = TableDataset(split="train", **own)
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress((tmp_path / "own.csv").read_bytes()))
    (tmp_path / "own.csv").unlink()
    assert TableDataset(split="train", **own).metainfo["table"] == plain.metainfo["table"]


def test_new_rows_are_read_with_the_codes_of_a_checkpoint(tmp_path):
    trained = TableDataset(split="train", **table_of(tmp_path / "a.csv", ("red", "blue", "green")))
    known = trained.metainfo["table"]
    torch.save({"meta": {"dataset_meta": {"table": known}}, "state_dict": {}}, tmp_path / "best.pth")
    new = table_of(tmp_path / "b.csv", ("green", "red", "blue"), count=4)
    for codes in (known, str(tmp_path / "best.pth")):
        dataset = TableDataset(split="all", codes=codes, **new)
        assert dataset.metainfo["table"] == known
        first = next(row for row in samples(dataset) if row["row"] == 0)
        assert first["codes"].tolist() == [1 + known["categories"]["colour"].index("green")]
        mean, deviation = known["continuous"]["price"]
        assert first["values"][0] == pytest.approx(-mean / deviation)
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(TableError, match=r"other.pth holds no codes of a table. Fix: codes="):
        TableDataset(split="all", codes=tmp_path / "other.pth", **new)


def test_the_real_rows_fit_the_published_sizes():
    (path,) = require_data("adult-complete-rows").values()
    test = AdultDataset("test", str(path), serialize_data=False)
    assert len(test) == 3017  # of 30,162
    table = TableCodes.of_plain(test.metainfo["table"])
    assert len(table.categories["native_country"]) == 40  # one is rare
    assert sum(test.get_data_info(number)["gt_label"] for number in range(len(test))) == 751
