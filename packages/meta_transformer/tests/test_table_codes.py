"""Numbered categories: in order of appearance, of the training rows alone, each column with codes of its own."""

import pandas as pd
import pytest

from mm_meta_transformer.datasets.table import TableError, TableWarning
from mm_meta_transformer.datasets.table_codes import TableCodes

TRAIN = pd.DataFrame({"job": ["cook", "clerk", "cook"], "sex": ["f", "m", "m"], "pay": ["1", "2", "6"]})


def codes(**changes):
    return TableCodes.learn(TRAIN, ("job", "sex"), ("pay",), **changes)


def test_codes_follow_the_order_of_appearance_and_columns_do_not_share_them():
    numbered, values = codes().encode(TRAIN)
    assert numbered.tolist() == [[1, 3], [2, 4], [1, 4]]
    assert codes().num_codes == 4
    assert values.mean() == pytest.approx(0, abs=1e-7)
    assert values.std() == pytest.approx(1)


def test_shared_codes_start_at_1_in_each_column():
    found = codes(shared=True)
    assert found.encode(TRAIN)[0].tolist() == [[1, 1], [2, 2], [1, 2]]
    assert found.num_codes == 2


def test_room_for_more_values_keeps_the_codes_of_a_split_apart():
    found = codes(sizes={"job": 5})
    assert found.encode(TRAIN)[0].tolist() == [[1, 6], [2, 7], [1, 7]]
    assert found.num_codes == 7
    with pytest.raises(TableError, match=r"'job' has 2 different values, 1 are foreseen. Fix: job=2 in sizes"):
        codes(sizes={"job": 1})


def test_unseen_values_get_code_0_and_are_counted():
    rows = pd.DataFrame({"job": ["pilot", "cook", ""], "sex": ["f", "x", "x"], "pay": ["3", "3", ""]})
    with pytest.warns(TableWarning, match="get code 0: 'job' 1, 'sex' 2"):
        numbered, values = codes().encode(rows)
    assert numbered.tolist() == [[0, 3], [1, 0], [0, 0]]
    assert values[:, 0].tolist() == [0, 0, 0]  # 3 is the mean of the training rows, and what a missing number gets


def test_a_checkpoint_carries_the_codes():
    plain = codes(sizes={"sex": 3}).plain()
    assert TableCodes.of_plain(plain) == codes(sizes={"sex": 3})
    assert plain["categories"] == {"job": ["cook", "clerk"], "sex": ["f", "m"]}


def test_a_constant_number_becomes_zero_and_a_missing_column_is_named():
    flat = TRAIN.assign(pay="4")
    assert TableCodes.learn(flat, (), ("pay",)).encode(flat)[1].tolist() == [[0], [0], [0]]
    with pytest.raises(TableError, match="has no column sex; it has job"):
        codes().encode(TRAIN[["job", "pay"]])
    with pytest.raises(TableError, match="has no column age"):
        TableCodes.learn(TRAIN, ("age",))
    with pytest.raises(TableError, match="'pay' holds no number"):
        TableCodes.learn(TRAIN.assign(pay=""), (), ("pay",))
