"""Training on some of a series' variates, for models whose weights do not depend on their number.

Two ways (iTransformer, arXiv 2310.06625): always the same first ones, which tests how well the others are forecast that
were never seen; or another random subset in every batch, which makes training cheap.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields

_FIX = "Fix: write dict(first=K), dict(first=K, start=I), dict(first=K, shuffle=True) or dict(random=K)"


@dataclass(frozen=True)
class PartialVariates:
    """Which of a series' variates a data set trains on, without naming them.

    Attributes:
        first: keep the ``first`` variates from ``start`` on; fewer where the series ends before.
        start: the position of the first one.
        shuffle: another order of the kept variates in every batch. The official code's ``efficient_training`` does no
            more than that, since it cuts first and draws then.
        random: every batch has another random subset of this many of all variates; all where there are fewer.

    Raises:
        ValueError: the combination or a number has no meaning.
    """

    first: int | None = None
    start: int = 0
    shuffle: bool = False
    random: int | None = None

    def __post_init__(self) -> None:
        counts = [count for count in (self.first, self.random) if count is not None]
        if len(counts) != 1 or (self.random is not None and (self.start or self.shuffle)):
            raise ValueError(f"{self._text} has no meaning. {_FIX}")
        whole = all(type(number) is int for number in (counts[0], self.start))
        if not whole or counts[0] < 1 or self.start < 0 or not isinstance(self.shuffle, bool):
            raise ValueError(
                f"{self._text}: give whole numbers, of variates at least 1, and a start of 0 or more; shuffle is a bool"
            )

    @classmethod
    def of(cls, option: Mapping[str, int | bool]) -> PartialVariates:
        """Return what a config says.

        Raises:
            ValueError: it says something that is not known.
        """
        try:
            return cls(**option)
        except TypeError as fault:
            raise ValueError(f"variates={dict(option)!r} is not known. {_FIX}") from fault

    @property
    def draws(self) -> bool:
        """Whether every batch draws."""
        return self.shuffle or self.random is not None

    @property
    def option(self) -> dict[str, int | bool]:
        """What a config writes to get this."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    def kept(self, n_variates: int) -> slice:
        """Return the positions that the data set keeps of a series of ``n_variates``.

        Raises:
            ValueError: it has no variate at ``start``.
        """
        if self.start >= n_variates:
            raise ValueError(f"{self._text}, but the series has only {n_variates}. Fix: give a smaller start")
        return slice(self.start, min(self.start + (self.first or n_variates), n_variates))

    def draw(self, n_kept: int) -> list[int]:
        """Return the positions of one batch among the ``n_kept``, from Python's global generator.

        The data pipeline seeds that generator for every batch (``mmrepro.engine.seeded_data``). The draw is the
        official one: the last ones of a random order.
        """
        order = random.sample(range(n_kept), n_kept)
        return order if self.random is None else order[-self.random :]

    @property
    def _text(self) -> str:
        return f"variates={self.option!r}"
