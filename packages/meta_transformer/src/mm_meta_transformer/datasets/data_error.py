"""What is wrong with a data set's files or options: the user's to mend, so that entry points print it in one line."""

from __future__ import annotations

from mmrepro.engine.errors import UserError


class DataError(UserError, ValueError):
    """A file or an option of a data set cannot be used; the text names it and the fix."""
