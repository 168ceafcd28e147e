"""Tables of text: names or none, missing cells, and errors that name the line."""

import gzip
import re

import pytest

from mm_meta_transformer.datasets.table import TableError, TableWarning, numbers, read_table, without_missing

NAMES = ("age", "job")


def file(path, text):
    (path / "t.csv").write_text(text)
    return path / "t.csv"


@pytest.mark.parametrize("text", ["age, job\n39, Clerk\n\n41, Cook \n", "|a comment\n39, Clerk\n41, Cook\n\n"])
def test_names_may_stand_in_the_file_or_not(tmp_path, text):
    frame = read_table(file(tmp_path, text), NAMES, comment="|")
    assert frame.to_numpy().tolist() == [["39", "clerk"], ["41", "cook"]]
    assert list(frame) == list(NAMES)
    assert frame.index[0] == 2  # line 1 says something else in both


def test_the_files_own_names_are_kept(tmp_path):
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(b'"Age";"Job"\n39;"Clerk"\n'))
    assert read_table(packed, separator=";").to_dict("records") == [{"age": "39", "job": "clerk"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("age,job\n", "has no rows"),
        ("age,job\n1,a\n2\n", r"t\.csv, line 3: it has 1 cells, expected 2: age, job"),
        ("age,job\n1,a\n2,b,c\n", "line 3: it has 3 cells"),
        ("age,age\n1,a\n", "several columns called age"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read_table(file(tmp_path, text))


def test_another_number_of_columns_than_names_is_named(tmp_path):
    with pytest.raises(TableError, match="line 1: it has 3 cells, expected 2: age, job"):
        read_table(file(tmp_path, "39,Clerk,x\n"), NAMES)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(b"age,job\n")
    with pytest.raises(TableError, match="cannot be read as text separated by ','"):
        read_table(packed)
    with pytest.raises(FileNotFoundError, match=re.escape("none.csv: no such file")):
        read_table(tmp_path / "none.csv")


def test_missing_cells_are_counted_and_repaired_or_an_error(tmp_path):
    frame = read_table(file(tmp_path, "age,job\n39,?\n41,cook\n,cook\n"))
    with pytest.warns(TableWarning, match="2 of 3 rows lack a value and are left out: 'age' 1, 'job' 1"):
        assert without_missing(frame, "t").to_numpy().tolist() == [["41", "cook"]]
    with pytest.warns(TableWarning, match="keep their place"):
        kept = without_missing(frame, "t", "unseen")
    assert kept.to_numpy().tolist() == [["39", ""], ["41", "cook"], ["", "cook"]]
    with pytest.raises(TableError, match="t, line 2: a value is missing"):
        without_missing(frame, "t", "error")
    with pytest.raises(TableError, match="every row lacks a value"):
        without_missing(frame.iloc[[0, 2]], "t")
    with pytest.raises(ValueError, match="'drop', 'unseen' or 'error'"):
        without_missing(frame, "t", "fill")


def test_a_cell_that_is_no_number_is_named(tmp_path):
    frame = read_table(file(tmp_path, "age,job\n39,a\n,a\nold,a\n"))
    with pytest.raises(TableError, match="t, line 4: 'age' is 'old', no finite number"):
        numbers(frame, "age", "t")
    assert str(numbers(frame.iloc[:2], "age", "t").tolist()) == "[39.0, nan]"
