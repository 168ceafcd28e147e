"""Errors whose cause is the user's: the entry points print them in one line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the process with status 1 and one line on the standard error where the cause is the user's."""
    try:
        yield
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
