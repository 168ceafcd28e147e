"""Reading a CSV file: what is accepted as it is, and what is refused with the place and the fix."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest

from mmrepro.datasets.series import SeriesError, SeriesWarning, future_dates, most_common_step, read_csv

TABLE = "date,a,b\n2020-01-01 00:00:00,1,2.5\n2020-01-01 01:00:00,-3,4e2\n2020-01-01 02:00:00,5,6\n"
VALUES = [[1, 2.5], [-3, 400], [5, 6]]


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(autouse=True)
def no_warnings():
    """A file that is in order gives no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeriesWarning)
        yield


ACCEPTED = {
    "plain": TABLE.encode(),
    "Windows line ends": TABLE.replace("\n", "\r\n").encode(),
    "byte order mark": b"\xef\xbb\xbf" + TABLE.encode(),
    "no line end at the end": TABLE.rstrip().encode(),
    "blank lines at the end": (TABLE + "\n\r\n \n").encode(),
    "dates with slashes, without zeros": TABLE.replace("2020-01-01 0", "2020/1/1 ").replace(":00:00", ":00").encode(),
    "midnight without its time": TABLE.replace("2020-01-01 00:00:00", "2020-01-01").encode(),
    "a time zone": TABLE.replace(":00:00,", ":00:00+02:00,").encode(),
    "quoted cells": TABLE.replace("2.5", '"2.5"').encode(),
}


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_a_file_in_order_is_read(write, content):
    series = read_csv(write(content))
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.columns == ("a", "b")
    assert list(series.dates) == list(pd.date_range("2020-01-01", periods=3, freq="h"))


def test_a_gzipped_file_is_read(write):
    np.testing.assert_array_equal(read_csv(write(gzip.compress(TABLE.encode()), "table.csv.gz")).values, VALUES)


def test_columns_and_formats_by_option(write):
    path = write(TABLE.replace("date", "Zeit").replace("2020-01-01", "01.02.2020").encode("utf-16"))
    series = read_csv(path, date_column="Zeit", date_format="%d.%m.%Y %H:%M:%S", encoding="utf-16")
    assert series.dates[0] == pd.Timestamp("2020-02-01")
    assert not series.values.flags.writeable


def test_a_file_without_header_and_dates(write):
    series = read_csv(write("1,2\n3,4\n"), date_column=None, header=False)
    np.testing.assert_array_equal(series.values, [[1, 2], [3, 4]])
    assert series.columns == ("0", "1")
    assert series.dates is None


def test_the_file_read_last_is_remembered_until_it_changes(write):
    path = write(TABLE)
    assert read_csv(path) is read_csv(path)
    write(TABLE.replace("4e2", "47"))
    assert read_csv(path).values[1, 1] == 47


def test_columns_can_be_chosen_and_ordered(write):
    chosen = read_csv(write(TABLE)).select(["b", "a"])
    assert chosen.columns == ("b", "a")
    np.testing.assert_array_equal(chosen.values, np.asarray(VALUES)[:, ::-1])


REFUSED = {
    "too many cells": (TABLE.replace("-3,", "-3,0,"), ["line 3 has 4 cells, line 1 3", "decimal commas"]),
    "too few cells": (TABLE.replace("-3,4e2", "-3"), ["line 3, column 'b' has no value (1 such cells)"]),
    "a blank line": (TABLE.replace("\n2020-01-01 01", "\n\n2020-01-01 01"), ["line 3, column 'a' has no value"]),
    "an infinite value": (TABLE.replace("4e2", "inf"), ["line 3, column 'b' has the value inf", "Fix: fill"]),
    "a column without a name": (TABLE.replace("a,b", ",b"), ["line 1 has no name for column 2", "index=False"]),
    "semicolons": (TABLE.replace(",", ";"), ["line 1 is separated by semicolons", "Fix: save the file with commas"]),
    "tabs": (TABLE.replace(",", "\t"), ["line 1 is separated by tabs"]),
    "dates alone": ("date\n2020-01-01\n", ["line 1 has only the column 'date'"]),
    "two zones": (
        TABLE.replace(":00:00,1", ":00:00+01:00,1").replace(":00:00,", ":00:00+02:00,"),
        ["column 'date' mixes time zones", "Fix: write all dates in one time zone"],
    ),
    "a number as a date": (TABLE.replace("2020-01-01 00:00:00", "17"), ["line 2, column 'date': '17' cannot be read"]),
    "a missing date": (TABLE.replace("2020-01-01 01:00:00", ""), ["line 3, column 'date' has no date"]),
    "UTF-16": (TABLE.encode("utf-16"), ["the file is UTF-16", "encoding='utf-16'"]),
    "an open quotation mark": (TABLE.replace("-3", '"-3'), ["cannot be read as CSV", "unclosed quotation mark"]),
}


@pytest.mark.parametrize(("content", "parts"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(write, content, parts):
    path = write(content)
    with pytest.raises(SeriesError) as caught:
        read_csv(path)
    for part in (str(path), "Fix: ", *parts):
        assert part in str(caught.value)


def test_a_cut_gzip_file_is_refused(write):
    path = write(gzip.compress(TABLE.encode())[:-9], "table.csv.gz")
    with pytest.raises(SeriesError, match=r"table\.csv\.gz: cannot be unpacked .* Fix: copy or download"):
        read_csv(path)


def test_an_unknown_encoding_is_refused(write):
    with pytest.raises(SeriesError, match=r"table\.csv: unknown encoding: bogus. Fix: pass an encoding"):
        read_csv(write(TABLE), encoding="bogus")


HINT = "if day and month were mixed up, pass date_format"


@pytest.mark.parametrize(
    ("layout", "options", "hinted"),
    [
        ("%d/%m/%Y %H:%M", {}, True),
        ("%d/%m/%Y %H:%M", {"date_format": "%m/%d/%Y %H:%M"}, False),
        ("%Y-%d-%m %H:%M", {}, False),  # read as year, month, day, which nobody writes the other way round
    ],
)
def test_a_gap_that_a_guess_of_the_date_format_may_have_made_says_so(write, layout, options, hinted):
    dates = pd.date_range("2020-02-01", periods=72, freq="h")
    rows = "".join(f"{date.strftime(layout)},1\n" for date in dates)
    with pytest.warns(SeriesWarning, match="2 gaps") as caught:
        read_csv(write(f"date,a\n{rows}"), **options)
    assert (HINT in str(caught[0].message)) is hinted


def test_a_day_above_twelve_cannot_be_a_month(write):
    dates = [date for date in pd.date_range("2020-02-11", periods=72, freq="h") if date.day != 12]
    rows = "".join(f"{date.strftime('%m/%d/%Y %H:%M')},1\n" for date in dates)
    with pytest.warns(SeriesWarning, match="1 gaps") as caught:
        read_csv(write(f"date,a\n{rows}"))
    assert HINT not in str(caught[0].message)


def test_lines_are_counted_from_one_where_there_is_no_header(write):
    with pytest.raises(SeriesError, match="line 2, column '1' holds 'x', which is not a number"):
        read_csv(write("1,2\n3,x\n"), date_column=None, header=False)


@pytest.mark.parametrize("freq", ["MS", "B", "W", "YS", "15min"])
def test_a_regular_calendar_is_no_gap_and_goes_on(write, freq):
    dates = pd.date_range("2020-01-01", periods=40, freq=freq)
    rows = "".join(f"{date},1\n" for date in dates[:30])
    series = read_csv(write(f"date,a\n{rows}"))
    assert list(future_dates(series.dates, 10)) == list(dates[30:])


def test_an_irregular_calendar_goes_on_with_its_most_common_step():
    dates = pd.DatetimeIndex(
        ["2020-01-01 00:00", "2020-01-01 00:10", "2020-01-01 00:10", "2020-01-01 00:20", "2020-01-02"]
    )
    assert most_common_step(dates) == pd.Timedelta("10min")
    assert list(future_dates(dates, 1)) == [pd.Timestamp("2020-01-02 00:10")]
    assert list(future_dates(dates, 1, freq="D")) == [pd.Timestamp("2020-01-03")]
    with pytest.raises(SeriesError, match="at least two different time stamps"):
        future_dates(dates[:1], 1)
