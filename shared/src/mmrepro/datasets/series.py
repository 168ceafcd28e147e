"""Reading a multivariate time series from a CSV file or a table, with errors that name the row and the column.

A file's row is named by its line, so a header is line 1 and the first values below it are line 2; a table's row by its
position, counted from 0.
"""

from __future__ import annotations

import csv
import gzip
import io
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format


class SeriesError(ValueError):
    """A file cannot be used as a time series; the text names the file, the line or column, and the fix."""


class SeriesWarning(UserWarning):
    """A file can be used, but something in it deserves a look."""


@dataclass(frozen=True)
class Series:
    """A multivariate time series.

    ``values`` is (T, V) float64, ``dates`` has T entries (None where there are none), ``columns`` V names.
    """

    values: np.ndarray
    dates: pd.DatetimeIndex | None
    columns: tuple[str, ...]
    path: str

    def select(self, columns: list[str]) -> Series:
        """Return the series with these columns in this order."""
        positions = [self.columns.index(column) for column in columns]
        return Series(self.values[:, positions], self.dates, tuple(columns), self.path)


def read_csv(
    path: str | Path,
    *,
    date_column: str | None = "date",
    date_format: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
) -> Series:
    """Read a CSV file (``.gz`` too) of one date column and numeric columns otherwise.

    The file read last is remembered, since the splits of one data set read the same file; the arrays are read-only.
    Warns (SeriesWarning) of repeated time stamps and of gaps, with the count and the first row.

    Args:
        path: the file.
        date_column: name of the column that holds the time stamps; None for a file without dates.
        date_format: how they are written (``%d/%m/%Y %H:%M``); by default it is inferred from the first one.
        encoding: the file's text encoding.
        header: whether line 1 names the columns; without it they are called by position: "0", "1", ...

    Raises:
        FileNotFoundError: no such file.
        SeriesError: the file is empty or in another encoding, a column's name is missing or repeated, a value is
            missing or not a number, a date cannot be read or lies before the one above it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
    facts = path.stat()
    return _remembered(path, facts.st_size, facts.st_mtime_ns, date_column, date_format, encoding, header)


def read_frame(frame: pd.DataFrame, *, date_column: str | None = "date", date_format: str | None = None) -> Series:
    """Read a table whose dates are a column or the index, with the checks and warnings of :func:`read_csv`.

    Args:
        frame: the table; every column but the dates' holds numbers.
        date_column: name of the column (or of the index) with the time stamps; an index of time stamps counts under
            any name. Without either, and with None, the series has no dates.
        date_format: how dates are written that are text; by default it is inferred from the first one.

    Raises:
        SeriesError: as for a file; or the dates are numbers, which say nothing of their unit.
    """
    return _FrameTable(frame, date_column).series(date_format)


def future_dates(dates: pd.DatetimeIndex, periods: int, freq: str | None = None) -> pd.DatetimeIndex:
    """Return the ``periods`` time stamps that follow ``dates``.

    The step is ``freq`` where given, else the calendar's regular one (months, business days), else the most common one.

    Raises:
        SeriesError: there are no two different time stamps to learn the step from.
    """
    step = freq or _calendar_step(dates) or most_common_step(dates)
    return pd.date_range(dates[-1], periods=periods + 1, freq=step)[1:]


def most_common_step(dates: pd.DatetimeIndex) -> pd.Timedelta:
    """Return the most common distance between neighbouring time stamps, repeats left out.

    Raises:
        SeriesError: there are no two different time stamps.
    """
    steps = np.diff(dates.values)  # in UTC where there is a time zone
    steps, counts = np.unique(steps[steps > np.timedelta64(0, "ns")], return_counts=True)
    if not len(steps):
        raise SeriesError("the step between time stamps is unknown. Fix: give at least two different time stamps")
    return pd.Timedelta(steps[counts.argmax()])


def _calendar_step(dates: pd.DatetimeIndex) -> str | pd.DateOffset | None:
    """Return the regular step of a calendar (hours, months, business days), None where there is none."""
    if len(dates) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pandas 3 announces another type, which serves as well
        return pd.infer_freq(dates)


@lru_cache(maxsize=1)
def _remembered(path: Path, _size: int, _modified: int, date_column, date_format, encoding, header) -> Series:
    text = _decode(path, encoding)
    return _TextTable(path, text, date_column, header).series(date_format)


def _decode(path: Path, encoding: str) -> str:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise SeriesError(f"{path}: cannot be unpacked ({fault}). Fix: copy or download the file again") from fault
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) and encoding == "utf-8":
        raise SeriesError(f"{path}: the file is UTF-16, not UTF-8. Fix: save it as UTF-8, or pass encoding='utf-16'")
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except LookupError as fault:
        raise SeriesError(
            f"{path}: {fault}. Fix: pass an encoding that Python knows, for example 'utf-8', 'latin-1' or 'utf-16'"
        ) from fault
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise SeriesError(
            f"{path}: line {line} is not {encoding} (byte 0x{content[fault.start]:02x}). "
            "Fix: save the file as UTF-8, or pass its encoding, for example encoding='latin-1'"
        ) from fault
    text = text.rstrip("\r\n\t ")
    if not text:
        raise SeriesError(f"{path}: the file is empty. Fix: give a CSV file with one row per time step")
    return text


class _Table(ABC):
    """Rows of dates and numbers on their way to a series; every complaint names a row.

    A subclass parses, and says how a row and the names of the columns are called.
    """

    path: Path | str
    names: list[str]
    date_column: str | None
    head = "line 1"
    day_may_be_month = False  # the order of day and month was guessed, and the other one would fit too

    def series(self, date_format: str | None) -> Series:
        frame = self._parse()
        self._check_values(frame)
        dates = None
        if self.date_column is not None:
            cells = frame.pop(self.date_column)
            self._require_all_dates(cells)
            dates = self._dates(cells, date_format)
            self._require_order(dates, cells)
            self._warn_of_irregular_steps(dates)
        values = np.ascontiguousarray(frame.to_numpy(np.float64))
        values.flags.writeable = False
        return Series(values, dates, tuple(frame.columns), str(self.path))

    def _check_names(self) -> None:
        names, where = self.names, f"{self.path}: {self.head}"
        for i, name in enumerate(names):
            if not name.strip():
                raise SeriesError(
                    f"{where} has no name for column {i + 1}. "
                    "Fix: name it, or remove the column (pandas writes row numbers so: to_csv(..., index=False))"
                )
            if name in names[:i]:
                raise SeriesError(f"{where} names the column {name!r} twice. Fix: give each column its own name")
        if self.date_column is None:
            return
        if self.date_column not in names:
            found = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
            raise SeriesError(
                f"{where} has no column {self.date_column!r} (found: {found}). "
                f"Fix: name the column with the time stamps {self.date_column!r}, or pass its name as date_column"
            )
        if len(names) == 1:
            raise SeriesError(f"{where} has only the column {self.date_column!r}. Fix: add columns of values")

    @abstractmethod
    def _parse(self) -> pd.DataFrame:
        """Return float64 columns, and the dates as they are."""

    @abstractmethod
    def _row(self, row: int) -> str:
        """Return how the row at a position is called."""

    def _check_values(self, frame: pd.DataFrame) -> None:
        if frame.empty:
            raise SeriesError(f"{self.path}: there is no row below the header. Fix: give one row per time step")
        values = frame.drop(columns=self.date_column or [])
        bad = ~np.isfinite(values.to_numpy())
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = values.iat[row, column]
            what = "no value" if np.isnan(value) else f"the value {value}"
            raise SeriesError(
                f"{self._cell(row, values.columns[column])} has {what} ({bad.sum()} such cells). "
                "Fix: fill them (for example by interpolation), or remove the column"
            )

    def _require_all_dates(self, cells: pd.Series) -> None:
        if cells.isna().any():
            row = int(cells.isna().to_numpy().argmax())
            raise SeriesError(f"{self._cell(row, cells.name)} has no date. Fix: fill it, or remove the row")

    def _dates(self, cells: pd.Series, date_format: str | None) -> pd.DatetimeIndex:
        with warnings.catch_warnings():
            # Of its guess between day and month first: a wrong one shows as dates that go backwards
            warnings.simplefilter("ignore", UserWarning)
            layout = date_format or guess_datetime_format(cells.iat[0])
        dates = pd.Series(pd.NaT, index=cells.index)
        if layout:
            dates = self._to_dates(cells, layout)
        if layout and date_format is None and dates.isna().any():  # midnights written without their time
            dates = self._to_dates(cells, "ISO8601").fillna(dates)
        if dates.isna().any():
            row = int(dates.isna().to_numpy().argmax())
            raise SeriesError(
                f"{self._cell(row, cells.name)}: {cells.iat[row]!r} cannot be read as a date"
                f"{f' like {layout}' if layout else ''}. "
                "Fix: write dates like 2020-01-31 13:00:00, or pass date_format, for example '%d/%m/%Y %H:%M'"
            )
        index = pd.DatetimeIndex(dates.dt.tz_localize(None), name=None)
        self.day_may_be_month = not date_format and "%m" in layout and layout[:2] != "%Y" and index.day.max() <= 12
        return index

    def _require_order(self, dates: pd.DatetimeIndex, cells: pd.Series) -> None:
        back = np.flatnonzero(np.diff(dates.values) < np.timedelta64(0, "ns")) + 1
        if len(back):
            row = int(back[0])
            raise SeriesError(
                f"{self._cell(row, cells.name)}: {cells.iat[row]} lies before the row above it, {cells.iat[row - 1]} "
                f"({len(back)} such rows). Fix: sort the rows by time; if day and month were mixed up, pass date_format"
            )

    def _to_dates(self, cells: pd.Series, layout: str | None) -> pd.Series:
        """Return the dates, NaT where a cell cannot be read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)  # pandas 2 warns of mixed offsets, pandas 3 raises
                return pd.to_datetime(cells, format=layout, errors="coerce")
        except (ValueError, FutureWarning) as fault:
            raise SeriesError(
                f"{self.path}: column {cells.name!r} mixes time zones or offsets. Fix: write all dates in one time zone"
            ) from fault

    def _warn_of_irregular_steps(self, dates: pd.DatetimeIndex) -> None:
        if len(dates) < 3 or _calendar_step(dates) is not None:
            return
        steps = np.diff(dates.values)
        repeats = np.flatnonzero(steps == np.timedelta64(0, "ns")) + 1
        if len(repeats):
            row = int(repeats[0])
            self._warn(f"{len(repeats)} repeated time stamps, the first at {self._row(row)} ({dates[row]})")
        if len(repeats) == len(steps):
            return
        usual = most_common_step(dates)
        gaps = np.flatnonzero(steps > usual.to_timedelta64()) + 1
        if len(gaps):
            row = int(gaps[0])
            self._warn(
                f"{len(gaps)} gaps (steps longer than {usual}), the first before {self._row(row)} "
                f"({dates[row - 1]} to {dates[row]}); windows run across them"
                + ("; if day and month were mixed up, pass date_format" if self.day_may_be_month else "")
            )

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.path}: {text}", SeriesWarning, stacklevel=6)

    def _cell(self, row: int, column: object) -> str:
        return f"{self.path}: {self._row(row)}, column {column!r}"

    def _no_numbers(self, cells: pd.DataFrame, bad: np.ndarray) -> SeriesError:
        row, column = np.argwhere(bad)[0]
        count = int(bad[:, column].sum())
        fix = "remove the column" if count == len(cells) else "correct the cells, or remove the column"
        return SeriesError(
            f"{self._cell(row, cells.columns[column])} holds {cells.iat[row, column]!r}, which is not a number "
            f"({count} of {len(cells)} cells of the column). Fix: {fix}"
        )


class _TextTable(_Table):
    """The text of a CSV file; rows are named by their line in the file."""

    def __init__(self, path: Path, text: str, date_column: str | None, header: bool) -> None:
        self.path, self.text, self.date_column = path, text, date_column
        self.first_line = 2 if header else 1  # the line of the first row of values
        line = next(csv.reader(_lines(text)))
        if len(line) == 1:
            separator = next((word for sign, word in ((";", "semicolons"), ("\t", "tabs")) if sign in line[0]), None)
            if separator:
                raise SeriesError(f"{path}: line 1 is separated by {separator}. Fix: save the file with commas")
        self.names = line if header else [str(i) for i in range(len(line))]
        self._check_names()

    def _row(self, row: int) -> str:
        return f"line {row + self.first_line}"

    def _parse(self) -> pd.DataFrame:
        """Return float64 columns, and the dates as text; blank lines between rows count as rows."""
        options = {
            "index_col": False,
            "skip_blank_lines": False,
            "header": 0 if self.first_line == 2 else None,
            "names": self.names,
        }
        types = {name: str if name == self.date_column else np.float64 for name in self.names}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row that is too long
            try:
                # Bytes take a quarter of the memory that StringIO does
                frame = pd.read_csv(io.BytesIO(self.text.encode()), dtype=types, low_memory=False, **options)
            except (pd.errors.ParserError, pd.errors.ParserWarning) as fault:
                raise self._wrong_width(fault) from fault
            except ValueError:  # a cell is not a number; read as text below to find it
                frame = None
        if frame is None:
            raise self._not_a_number(pd.read_csv(io.StringIO(self.text), dtype=str, **options))
        return frame

    def _wrong_width(self, fault: Exception) -> SeriesError:
        for line, row in enumerate(csv.reader(_lines(self.text)), start=1):
            if len(row) > len(self.names):
                return SeriesError(
                    f"{self.path}: line {line} has {len(row)} cells, line 1 {len(self.names)}. "
                    "Fix: remove what is too much, or write decimal points instead of decimal commas"
                )
        return SeriesError(f"{self.path}: cannot be read as CSV ({fault}). Fix: look for an unclosed quotation mark")

    def _not_a_number(self, cells: pd.DataFrame) -> SeriesError:
        cells = cells.drop(columns=self.date_column or [])
        bad = cells.apply(pd.to_numeric, errors="coerce").isna().to_numpy() & cells.notna().to_numpy()
        return self._no_numbers(cells, bad)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, without a copy of all of it."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start) + 1 or len(text)
        yield text[start:stop]
        start = stop


class _FrameTable(_Table):
    """A DataFrame; rows are named by their position."""

    path, head = "the DataFrame", "its header"

    def __init__(self, frame: pd.DataFrame, date_column: str | None) -> None:
        names = [str(name) for name in frame.columns]
        self.frame = frame.set_axis(names, axis=1).reset_index(drop=True)
        self.date_column = date_column if date_column in names else None
        dated = isinstance(frame.index, pd.DatetimeIndex) or frame.index.name == date_column
        if date_column is not None and self.date_column is None and dated:
            self.date_column = date_column
            names = [date_column, *names]
            self.frame.insert(0, date_column, frame.index)
        self.names = names
        self._check_names()

    def _row(self, row: int) -> str:
        return f"row {row}"

    def _parse(self) -> pd.DataFrame:
        values = self.frame.drop(columns=self.date_column or [])
        numbers = values.apply(self._numbers)
        bad = numbers.isna().to_numpy() & values.notna().to_numpy()
        if bad.any():
            raise self._no_numbers(values, bad)
        if self.date_column is not None:
            numbers.insert(0, self.date_column, self.frame[self.date_column])
        return numbers

    @staticmethod
    def _numbers(column: pd.Series) -> pd.Series:
        """Return float64, NaN where a cell is none; a date or a span of time is no number, though pandas counts it."""
        if column.dtype.kind in "mM":
            return pd.Series(np.nan, index=column.index)
        return pd.to_numeric(column, errors="coerce").astype(np.float64)

    def _dates(self, cells: pd.Series, date_format: str | None) -> pd.DatetimeIndex:
        if pd.api.types.is_datetime64_any_dtype(cells.dtype):
            return pd.DatetimeIndex(cells, name=None)
        kind = pd.api.types.infer_dtype(cells)
        if kind == "string":
            return super()._dates(cells, date_format)
        if kind not in ("date", "datetime", "datetime64"):
            raise SeriesError(
                f"{self._cell(0, cells.name)}: {cells.iat[0]} is no date ({kind}). "
                "Fix: convert the column with pandas.to_datetime, which takes the unit of numbers (unit='s')"
            )
        dates = self._to_dates(cells, None)
        self._require_all_dates(dates)
        return pd.DatetimeIndex(dates, name=None)
