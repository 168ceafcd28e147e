"""What is known of the data that a model was trained on: by the checkpoint, else by the config's data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from mmrepro.engine.errors import UserError


class Facts:
    """Entries of a data set's ``metainfo``.

    Args:
        stored: those of the checkpoint.
        build: returns the metainfo of the config's data set; it is called when the checkpoint lacks an entry.
    """

    def __init__(self, stored: Mapping[str, Any], build: Callable[[], Mapping[str, Any]]) -> None:
        self.stored, self._build = dict(stored), build

    def __contains__(self, name: str) -> bool:
        """Return whether the checkpoint has an entry."""
        return name in self.stored

    def __getitem__(self, name: str) -> Any:
        """Return an entry.

        Raises:
            UserError: neither the checkpoint nor the config's data set has it.
        """
        if name in self.stored:
            return self.stored[name]
        if name in self._of_data:
            return self._of_data[name]
        raise UserError(
            f"the checkpoint does not say {name!r} of its training data, nor does the config's data set. "
            "Fix: a checkpoint of a training of ours, which does"
        )

    @cached_property
    def _of_data(self) -> Mapping[str, Any]:
        try:
            return self._build()
        except (FileNotFoundError, ValueError) as error:
            raise UserError(
                f"without a checkpoint that says how its data was read, the config's data set is needed: {error}"
            ) from error
