"""What the decoder did with one picture: its boxes after each layer, its scores and the relation biases between them.

The parts of a detector are asked by hooks while it predicts, so that predicting itself keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from mm_relation_detr.models import RelationDETRHead


@dataclass(frozen=True)
class Trace:
    """One picture's way through the decoder.

    Attributes:
        boxes: ``(layers, N, 4)``, (x1, y1, x2, y2) in pixels of the picture, what each layer's head says.
        scores: ``(N,)``, the highest class score of each query after the last layer.
        labels: ``(N,)``, its class.
        relations: ``(layers - 1, heads, N, N)``, the bias of the self-attention in layers 2 to the last. A row is a box
            before the layer that refined it, a column one after it: query and key. Empty where the detector uses none.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    relations: np.ndarray

    def best(self, threshold: float = 0.3, limit: int = 50, overlap: float = 1.0) -> np.ndarray:
        """Return the queries with a score of at least ``threshold``, the best first; the best one in any case.

        Args:
            threshold: of the scores.
            limit: how many at most.
            overlap: leave out a query whose last box has a larger IoU than this with that of a better one: several
                queries of one object are drawn on top of one another.
        """
        chosen: list[int] = []
        for query in np.argsort(-self.scores, kind="stable"):
            if len(chosen) == limit or (chosen and self.scores[query] < threshold):
                break
            if not chosen or ious(self.boxes[-1, query], self.boxes[-1, chosen]).max() <= overlap:
                chosen.append(int(query))
        return np.array(chosen)

    def strongest_keys(self, layer: int, query: int, among: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys that a query's relation bias favours most, and their biases, averaged over the heads.

        Args:
            layer: counted from 0; the first has no relation.
            query: whose row is looked at.
            among: the keys to choose from; the query itself is left out.
            limit: how many keys at most.

        Raises:
            IndexError: there is no relation in that layer, or no such query.
        """
        self.check(layer, query)
        keys = among[among != query]
        bias = self.relations[layer - 1, :, query, keys].mean(1)
        order = np.argsort(-bias, kind="stable")[:limit]
        return keys[order], bias[order]

    def check(self, layer: int, query: int) -> None:
        """Stop where a layer or a query is none of which a relation could be shown.

        Raises:
            IndexError: there is no relation in that layer, or no such query.
        """
        if not 1 <= layer <= len(self.relations):
            raise IndexError(f"layer {layer} has no relation bias: those that have one are 1 to {len(self.relations)}")
        if not 0 <= query < len(self.scores):
            raise IndexError(f"there is no query {query}: they are 0 to {len(self.scores) - 1}")


def ious(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of a box with each of others, ``(N, 4)``, all as corners; 0 where neither has an area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(1)
    areas = [(one[..., 2:] - one[..., :2]).clip(0).prod(-1) for one in (box, others)]
    return shared / np.maximum(sum(areas) - shared, 1e-12)


def traced(model: nn.Module, predict: Callable[[], Any], size: tuple[int, int]) -> tuple[Any, Trace]:
    """Predict one picture and return the prediction with the trace.

    Args:
        model: a detector of this package, mmdet's DINO with the relation included.
        predict: runs the model on a batch of one picture.
        size: height and width of the picture in pixels.
    """
    last = model.bbox_head.cls_branches[model.decoder.num_layers - 1]
    # mmdet's DINO refines boxes in its decoder and predicts boxes in its head; here the decoder does both.
    predicting = model.decoder if isinstance(model.bbox_head, RelationDETRHead) else model.bbox_head
    boxes: list[Tensor] = []
    logits: list[Tensor] = []
    relations: list[Tensor] = []
    hooks = [
        predicting.register_forward_hook(lambda _, given, out: boxes.append(out[1])),
        last.register_forward_hook(lambda _, given, out: logits.append(out)),
    ]
    module = getattr(model.decoder, "position_relation_embedding", None)
    if module is not None:
        hooks.append(module.register_forward_hook(lambda _, given, out: relations.append(out[0].float().cpu())))
    try:
        result = predict()
    finally:
        for hook in hooks:
            hook.remove()
    scores, labels = logits[-1][0].float().sigmoid().max(-1)  # (N, classes)
    height, width = size
    corners = bbox_cxcywh_to_xyxy(boxes[-1][:, 0].float()).cpu() * torch.tensor([width, height, width, height])
    empty = torch.empty(0, 0, len(scores), len(scores))
    found = (corners, scores.cpu(), labels.cpu(), torch.stack(relations) if relations else empty)
    return result, Trace(*(tensor.detach().numpy() for tensor in found))
