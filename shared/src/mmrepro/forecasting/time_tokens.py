"""Between series and time tokens: a token holds all variates of one step, its position and its calendar.

Official code: thuml/iTransformer @ c2426e6, layers/Embed.py (``DataEmbedding``). Changed here: the positions' sinusoids
are computed for as many steps as a model has, and are no part of its weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Sizes of the calendar's tables in the order of the integer marks; a model for minutes reads the fifth too.
CALENDAR_SIZES = {"month": 13, "day": 32, "weekday": 7, "hour": 24, "minute": 4}
EMBEDS = ("timeF", "fixed", "learned")


def sinusoids(length: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Return (length, width): sine in the even columns, cosine in the odd ones, slower from left to right."""
    position = torch.arange(length, device=device).float()[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=device).float() * -(math.log(10000.0) / width))
    table = torch.zeros(length, width, device=device)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)[:, : width // 2]
    return table


class SinusoidTable(nn.Module):
    """Rows of sinusoids looked up by number: an embedding table that is not trained.

    Args:
        size: number of rows.
        width: width of a row.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("rows", sinusoids(size, width))

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows (..., C) at ``index`` (...)."""
        return self.rows[index]


class CalendarEmbedding(nn.Module):
    """The sum of one table row for each of month, day, weekday and hour, and for the quarter of the hour.

    Args:
        d_model: width of a token.
        learned: whether the tables are trained; else they hold sinusoids.
        minutes: whether there is a table for the quarter of the hour.
    """

    def __init__(self, d_model: int, learned: bool, minutes: bool = False):
        super().__init__()
        table = nn.Embedding if learned else SinusoidTable
        # The official order of creation, so that equal seeds give equal tables.
        names = [*(["minute"] if minutes else []), "hour", "weekday", "day", "month"]
        self.tables = nn.ModuleDict({name: table(CALENDAR_SIZES[name], d_model) for name in names})

    def forward(self, marks: Tensor) -> Tensor:
        """Turn integer ``marks`` (B, T, M), of any type, into (B, T, C)."""
        fields = dict(zip(CALENDAR_SIZES, marks.long().unbind(-1), strict=False))
        return sum(table(fields[name]) for name, table in self.tables.items())


class TemporalEmbedding(nn.Module):
    """Embed each step of a window: its values and those of its neighbours, its position, its time features.

    Args:
        n_variates: number of variates.
        d_model: width of a token.
        length: number of steps at most.
        dropout: probability that an element is dropped in training.
        n_marks: number of time features of a step; 0 for none.
        embed: ``timeF`` for a linear layer on float features, ``fixed`` or ``learned`` for tables of integer ones.
        freq: ``t``, or minutes such as ``15min``, adds a table for the quarter of the hour; ``timeF`` does not read it.

    Raises:
        ValueError: ``embed`` is not known, or ``n_marks`` are fewer than the tables.
    """

    def __init__(
        self,
        n_variates: int,
        d_model: int,
        length: int,
        dropout: float = 0.1,
        n_marks: int = 4,
        embed: str = "timeF",
        freq: str = "h",
    ):
        super().__init__()
        if embed not in EMBEDS:
            raise ValueError(f"embed={embed!r} is not one of {', '.join(map(repr, EMBEDS))}")
        self.value = nn.Conv1d(n_variates, d_model, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(self.value.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.register_buffer("positions", sinusoids(length, d_model), persistent=False)
        self.time = self._time(d_model, n_marks, embed, freq) if n_marks else None
        self.dropout = nn.Dropout(dropout)

    @staticmethod
    def _time(d_model: int, n_marks: int, embed: str, freq: str) -> nn.Module:
        if embed == "timeF":
            return nn.Linear(n_marks, d_model, bias=False)
        minutes = freq.lower().lstrip("0123456789") in ("t", "min")
        needed = 5 if minutes else 4
        if n_marks < needed:
            raise ValueError(
                f"embed={embed!r} with freq={freq!r} reads {needed} integer marks (month, day, weekday, hour"
                f"{', quarter of the hour' if minutes else ''}), but n_marks={n_marks}. Fix: set n_marks={needed} and "
                "the data sets' time_features='calendar'"
            )
        return CalendarEmbedding(d_model, embed == "learned", minutes)

    def forward(self, inputs: Tensor, marks: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Return tokens (B, T, C).

        Args:
            inputs: the windows (B, T, V), of as many steps as the layer was made for at most.
            marks: their time features (B, T, M); without them no time is added.
            lengths: how many steps of each window count (B,), which no other step then changes; None for all.
        """
        tokens = self._values(inputs, lengths) + self.positions[: inputs.shape[1]]
        if marks is not None:
            # Tables take integers, which bfloat16 would round.
            tokens = tokens + self.time(marks.to(inputs.dtype) if isinstance(self.time, nn.Linear) else marks)
        return self.dropout(tokens)

    def _values(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return self.value(inputs.transpose(1, 2)).transpose(1, 2)
        # The convolution sees a window as a circle: here each one of its own length.
        circles, rows = F.pad(inputs, (0, 0, 1, 1)), torch.arange(len(inputs), device=inputs.device)
        circles[rows, 0] = inputs[rows, lengths - 1]
        circles[rows, lengths + 1] = inputs[:, 0]
        return F.conv1d(circles.transpose(1, 2), self.value.weight).transpose(1, 2)
