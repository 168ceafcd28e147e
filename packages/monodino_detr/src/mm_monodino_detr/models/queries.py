"""The learnt queries of MonoDINO-DETR, in groups of which the first alone is used after training.

Source: JihyeokKim/MonoDINO-DETR @ 65004cc. Groups of queries are matched to the objects independently, so that each
object teaches several queries (Group DETR, arXiv 2207.13085).
"""

from __future__ import annotations

from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmrepro.engine.without_autocast import without_autocast


class Queries(NamedTuple):
    """What a decoder begins with."""

    content: Tensor  # (B, N, C)
    positions: Tensor | None  # (B, N, C); None where they follow the boxes
    references: Tensor  # (cx, cy, l, r, t, b) in [0, 1], (B, N, 6), or (cx, cy), (B, N, 2)


class BoxQueries(BaseModule):
    """Queries with a learnt content and a learnt box (DAB-DETR, arXiv 2201.12329).

    Args:
        num_queries: queries of a group.
        group_num: groups.
        embed_dims: C.
    """

    def __init__(self, num_queries: int, group_num: int, embed_dims: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.tgt_embed = nn.Embedding(num_queries * group_num, embed_dims)
        self.refpoint_embed = nn.Embedding(num_queries * group_num, 6)

    def forward(self, batch: int) -> Queries:
        """Return the queries of a batch: of all groups in training, else of the first."""
        rows = slice(None if self.training else self.num_queries)
        boxes = self.refpoint_embed.weight[rows].sigmoid()
        return Queries(_repeat(self.tgt_embed.weight[rows], batch), None, _repeat(boxes, batch))


class PointQueries(BaseModule):
    """Queries with a learnt content and a learnt position, from which a point is predicted.

    Args:
        num_queries, group_num, embed_dims: see :class:`BoxQueries`.
    """

    def __init__(self, num_queries: int, group_num: int, embed_dims: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.query_embed = nn.Embedding(num_queries * group_num, 2 * embed_dims)
        self.reference_points = nn.Linear(embed_dims, 2)

    def init_weights(self) -> None:
        """Draw the projection to points xavier-uniform without bias."""
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def forward(self, batch: int) -> Queries:
        """Return the queries of a batch: of all groups in training, else of the first."""
        rows = slice(None if self.training else self.num_queries)
        positions, content = self.query_embed.weight[rows].chunk(2, -1)
        with without_autocast(positions):  # bf16 would round a point to 1/256 of the image
            points = self.reference_points(positions).sigmoid()
        return Queries(_repeat(content, batch), _repeat(positions, batch), _repeat(points, batch))


def _repeat(rows: Tensor, batch: int) -> Tensor:
    return rows.expand(batch, *rows.shape)
