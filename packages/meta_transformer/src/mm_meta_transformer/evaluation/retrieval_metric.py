"""Retrieval across cameras: Rank-k and mean average precision, as for RegDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS
from torch import Tensor


@METRICS.register_module()
class CrossCameraRetrieval(BaseMetric):
    """Rank every picture of one camera for each picture of the other by the cosine of their features, in per cent.

    Args:
        query: the camera whose pictures are looked for (the metadata ``camera`` of the samples).
        gallery: the camera among whose pictures they are looked for.
        ranks: k of Rank-k, the share of queries with a picture of the same person among the first k.
        kwargs: as in mmengine.
    """

    default_prefix = "retrieval"

    def __init__(
        self, query: str = "visible", gallery: str = "thermal", ranks: Sequence[int] = (1, 10), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.query, self.gallery, self.ranks = query, gallery, tuple(ranks)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep features, persons and cameras."""
        for sample in data_samples:
            self.results.append((sample["pred_feature"].cpu(), int(sample["gt_label"]), sample["camera"]))

    def compute_metrics(self, results: list[tuple[Tensor, int, str]]) -> dict[str, float]:
        """Return ``rank<k>`` and ``mAP``.

        Raises:
            ValueError: a camera has no picture, or a query's person none in the gallery.
        """
        sides = {}
        for camera in (self.query, self.gallery):
            found = [(feature, label) for feature, label, seen in results if seen == camera]
            if not found:
                seen = sorted({camera for _, _, camera in results})
                raise ValueError(f"no picture is of camera {camera!r}; the test set has {seen}. Fix: its cameras")
            sides[camera] = torch.stack([one for one, _ in found]), torch.tensor([label for _, label in found])
        (queries, wanted), (gallery, persons) = sides[self.query], sides[self.gallery]
        return retrieval(queries @ gallery.T, wanted, persons, self.ranks)


def retrieval(similarity: Tensor, queries: Tensor, gallery: Tensor, ranks: Sequence[int]) -> dict[str, float]:
    """Return Rank-k and mAP in per cent.

    Args:
        similarity: ``(Q, G)``.
        queries: ``(Q,)``, the persons of the queries.
        gallery: ``(G,)``, those of the gallery.
        ranks: k of Rank-k.

    Raises:
        ValueError: a query's person has no picture in the gallery.
    """
    hits = queries[:, None] == gallery[similarity.argsort(1, descending=True)]
    if not hits.any(1).all():
        absent = sorted(set(queries[~hits.any(1)].tolist()))
        raise ValueError(f"persons {absent} have queries and no picture in the gallery. Fix: the lists of the test set")
    place = torch.arange(1, hits.shape[1] + 1)
    precision = (hits.cumsum(1) / place * hits).sum(1) / hits.sum(1)
    found = {f"rank{k}": 100 * hits[:, :k].any(1).double().mean().item() for k in ranks}
    return found | {"mAP": 100 * precision.double().mean().item()}
