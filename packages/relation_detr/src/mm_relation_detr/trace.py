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

    def best(self, threshold: float = 0.3, limit: int = 50) -> np.ndarray:
        """Return the queries with a score of at least ``threshold``, the best first; the best one in any case."""
        order = np.argsort(-self.scores, kind="stable")[:limit]
        return order[: max(int((self.scores[order] >= threshold).sum()), 1)]

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
        self._check(layer, query)
        keys = among[among != query]
        bias = self.relations[layer - 1, :, query, keys].mean(1)
        order = np.argsort(-bias, kind="stable")[:limit]
        return keys[order], bias[order]

    def _check(self, layer: int, query: int) -> None:
        if not 1 <= layer <= len(self.relations):
            raise IndexError(f"layer {layer} has no relation bias: those that have one are 1 to {len(self.relations)}")
        if not 0 <= query < len(self.scores):
            raise IndexError(f"there is no query {query}: they are 0 to {len(self.scores) - 1}")


def traced(model: nn.Module, predict: Callable[[], Any], size: tuple[int, int]) -> tuple[Any, Trace]:
    """Predict one picture and return the prediction with the trace.

    Args:
        model: a detector with the decoder and the head of this package.
        predict: runs the model on a batch of one picture.
        size: height and width of the picture in pixels.
    """
    last = model.bbox_head.cls_branches[model.decoder.num_layers - 1]
    boxes: list[Tensor] = []
    logits: list[Tensor] = []
    relations: list[Tensor] = []
    hooks = [
        model.decoder.register_forward_hook(lambda _, given, out: boxes.append(out[1])),
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
