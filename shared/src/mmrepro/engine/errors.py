"""Errors whose cause is the user's: the entry points print them in one line instead of a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from . import unknown_argument


class UserError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


class NonFiniteError(ArithmeticError):
    """A loss, a gradient or a weight is NaN or infinite; the message names it and the files that were kept."""


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the process with status 1 and one line on the standard error where the cause is the user's."""
    try:
        yield
    except _faults_of_the_user() as error:
        raise SystemExit(f"error: {_said(error)}") from error
    except TypeError as error:
        sentence = unknown_argument.describe(error)
        if sentence is None:
            raise
        raise SystemExit(f"error: {sentence}") from error


def _said(error: Exception) -> str:
    """Return an error's message: of one from a loader's process, whose text torch makes the traceback, its end."""
    text, name = str(error), type(error).__name__
    if f"Caught {name} in DataLoader worker process" not in text.partition("\n")[0]:
        return text
    return re.split(rf"^(?:\w+\.)*{name}: ", text, flags=re.MULTILINE)[-1].rstrip()


def _faults_of_the_user() -> tuple[type[Exception], ...]:
    """Return the exceptions of all parts of the core that name a fault and its fix; asked for when something failed."""
    from mmrepro.datasets.registry import DataCorruptError, DownloadError
    from mmrepro.datasets.series import SeriesError
    from mmrepro.key_rules import CheckpointMismatchError
    from mmrepro.papers import PaperNotFoundError
    from mmrepro.safe_loading import CheckpointError

    faults = (UserError, FileNotFoundError, PaperNotFoundError, DataCorruptError, DownloadError)
    return (*faults, SeriesError, CheckpointMismatchError, CheckpointError, NonFiniteError)
