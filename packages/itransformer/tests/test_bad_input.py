"""What a user's own file may have wrong: each error names file, row or column and the fix; oddities warn and load.

What only the reader knows (widths, separators, time zones) is tested with it in the core.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmrepro.datasets.csv_forecast import CSVForecastDataset
from mmrepro.datasets.series import SeriesError, SeriesWarning

ROWS, LENGTH, HORIZON = 80, 4, 2


@pytest.fixture
def lines() -> list[str]:
    """Return a good file's lines, the header first: hourly rows of the columns load, wind and OT."""
    dates = pd.date_range("2020-01-01", periods=ROWS, freq="h")
    values = np.random.default_rng(0).normal(size=(ROWS, 3)).round(3)
    rows = [f"{date},{load},{wind},{oil}" for date, (load, wind, oil) in zip(dates, values, strict=True)]
    return ["date,load,wind,OT", *rows]


@pytest.fixture
def load(tmp_path):
    """Return a function that writes ``own.csv`` and loads its training split."""

    def write_and_load(lines: list[str] | bytes, **options) -> CSVForecastDataset:
        path = tmp_path / "own.csv"
        path.write_bytes(lines if isinstance(lines, bytes) else "\n".join(lines).encode())
        lengths = {"seq_len": LENGTH, "pred_len": HORIZON} | options
        return CSVForecastDataset("train", file=path, **lengths)

    return write_and_load


def assert_refused(load, lines, *parts: str, **options) -> None:
    with pytest.raises(SeriesError) as caught:
        load(lines, **options)
    for part in ("own.csv", "Fix: ", *parts):
        assert part in str(caught.value)


def with_cell(lines: list[str], line: int, column: int, text: str) -> list[str]:
    """Return the lines with one cell replaced; ``line`` counts from 1, as an editor does."""
    cells = lines[line - 1].split(",")
    cells[column] = text
    return [*lines[: line - 1], ",".join(cells), *lines[line:]]


def test_a_good_file_loads(load, lines, recwarn):
    assert len(load(lines)) == 56 - LENGTH - HORIZON + 1
    assert not [warning for warning in recwarn if issubclass(warning.category, SeriesWarning)]


@pytest.mark.parametrize("text", ["", "NaN", "NA"])
def test_missing_values(load, lines, text):
    lines = with_cell(with_cell(lines, 12, 2, text), 40, 1, text)
    assert_refused(load, lines, "line 12, column 'wind' has no value (2 such cells)", "interpolation")


def test_a_column_that_is_no_number(load, lines):
    assert_refused(
        load,
        with_cell(lines, 31, 1, "12 kW"),
        "line 31, column 'load' holds '12 kW', which is not a number (1 of 80 cells of the column)",
        "correct the cells",
    )


def test_a_column_of_words(load, lines):
    lines = [lines[0] + ",plant", *(f"{line},north" for line in lines[1:])]
    assert_refused(load, lines, "line 2, column 'plant' holds 'north'", "80 of 80 cells", "Fix: remove the column")


def test_dates_that_cannot_be_read(load, lines):
    assert_refused(
        load,
        with_cell(lines, 7, 0, "yesterday"),
        "line 7, column 'date': 'yesterday' cannot be read as a date like %Y-%m-%d %H:%M:%S",
        "pass date_format",
    )


def test_dates_that_go_backwards(load, lines):
    lines[20], lines[21] = lines[21], lines[20]
    assert_refused(
        load,
        lines,
        "line 22, column 'date': 2020-01-01 19:00:00 lies before the row above it, 2020-01-01 20:00:00 (1 such rows)",
        "Fix: sort the rows by time",
    )


@pytest.mark.parametrize(
    ("lengths", "numbers"),
    [
        (
            {"seq_len": 50, "pred_len": 7},
            "the train split has 56 of 80 rows, fewer than seq_len + pred_len = 50 + 7 = 57",
        ),
        (
            {"seq_len": 4, "pred_len": 53},
            "the train split has 56 of 80 rows, fewer than seq_len + pred_len = 4 + 53 = 57",
        ),
    ],
)
def test_fewer_rows_than_a_window(load, lines, lengths, numbers):
    assert_refused(load, lines, numbers, "give a longer series, or a shorter seq_len or pred_len", **lengths)


def test_fewer_rows_than_a_window_in_another_split(tmp_path, load, lines):
    load(lines)
    with pytest.raises(SeriesError, match=r"own\.csv: the val split has 12 of 80 rows, .* 4 \+ 9 = 13"):
        CSVForecastDataset("val", LENGTH, 9, file=tmp_path / "own.csv")


def test_another_encoding(load, lines):
    content = "\n".join(lines).replace("wind", "Strömung").encode("latin-1")
    assert_refused(load, content, "line 1 is not utf-8 (byte 0xf6)", "encoding='latin-1'")
    assert load(content, encoding="latin-1").columns == ("load", "Strömung", "OT")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file(load, content):
    assert_refused(load, content, "the file is empty", "one row per time step")


def test_a_header_alone(load, lines):
    assert_refused(load, lines[:1], "there is no row below the header")


def test_no_date_column(load, lines):
    lines[0] = lines[0].replace("date", "Timestamp")
    assert_refused(load, lines, "line 1 has no column 'date' (found: 'Timestamp', 'load', 'wind', 'OT')", "date_column")
    assert load(lines, date_column="Timestamp").columns == ("load", "wind", "OT")


def test_a_column_name_twice(load, lines):
    lines[0] = lines[0].replace("wind", "load")
    assert_refused(load, lines, "line 1 names the column 'load' twice", "Fix: give each column its own name")


def test_repeated_time_stamps_warn(load, lines):
    lines = with_cell(with_cell(lines, 10, 0, "2020-01-01 07:00:00"), 60, 0, "2020-01-03 09:00:00")
    with pytest.warns(SeriesWarning) as caught:
        assert len(load(lines)) == 51
    text = str(caught[0].message)
    assert "own.csv: 2 repeated time stamps, the first at line 10 (2020-01-01 07:00:00)" in text


def test_gaps_warn(load, lines):
    with pytest.warns(SeriesWarning) as caught:
        load(lines[:30] + lines[35:])
    (text,) = (str(warning.message) for warning in caught)
    assert "own.csv: 1 gaps (steps longer than 0 days 01:00:00), the first before line 31" in text
    assert "(2020-01-02 04:00:00 to 2020-01-02 10:00:00)" in text


def test_constant_variates_warn_and_are_scaled_by_one(load, lines):
    for line in range(2, 81):
        lines = with_cell(lines, line, 2, "0.1")
    with pytest.warns(SeriesWarning) as caught:
        windows = load(lines)
    (text,) = (str(warning.message) for warning in caught)
    assert "own.csv: 1 constant variates in the training rows, the first is column 'wind'" in text
    assert "scaled by 1" in text
    assert windows.std[1] == 1
    assert windows.values[:, 1].abs().max() < 1e-6


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv: no such file\. Fix: check the path"):
        CSVForecastDataset("train", LENGTH, HORIZON, file=tmp_path / "absent.csv")
