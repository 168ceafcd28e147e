"""How a detector came to the detections of one picture: boxes of all levels, where tokens looked, masks' coefficients.

The parts of a detector are asked by hooks while it predicts, so that predicting itself keeps nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mm_vidt.models.coat_lite import ViDTCoaT
from mm_vidt.models.detections import best_pairs
from mm_vidt.models.neck_free import ViDTNeckFree
from mm_vidt.models.ram import CrossPatches, DetAttention
from mm_vidt.models.ram_swin import STAGES
from mm_vidt.models.vidt import ViDT

KEPT_BLOCKS = 2  # of each cross stage, the last ones
FIRST_STRIDE = 4


@dataclass(frozen=True)
class Attention:
    """Where the [DET] tokens of the detections looked in a block.

    Attributes:
        stage, block: which one, both counted from 0.
        weights: parts of the attention that go to each patch, the mean over the heads, ``(K, h, w)``. What is left of
            one goes to [DET] tokens.
        covered: (width, height) of the map in pixels of the picture, which it may exceed.
    """

    stage: int
    block: int
    weights: np.ndarray
    covered: tuple[float, float]


@dataclass(frozen=True)
class Trace:
    """One picture's way to its K detections, in their order.

    Attributes:
        boxes: ``(L + 1, K, 4)`` as (x1, y1, x2, y2) in pixels of the picture: of the body alone, and after each of L
            decoder layers. They may reach out of the picture also where ``test_cfg`` of the head clips the detections:
            a mask is spread over the whole box.
        scores: ``(L + 1, K)``, what each level gives to the detection's class.
        labels: ``(K,)``.
        attention: of the last blocks of each cross stage.
        vectors: coefficients of the masks ``(K, n_keep)``; None without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    attention: list[Attention]
    vectors: np.ndarray | None

    def best(self, threshold: float = 0.3, limit: int = 50, overlap: float = 0.5) -> np.ndarray:
        """Return the detections with a score of at least ``threshold``, the best first; the best one in any case.

        Args:
            threshold: of the scores.
            limit: how many at most.
            overlap: leave out a detection whose IoU with a better one of its class is larger than this.
        """
        return best(self.boxes[-1], self.scores[-1], self.labels, threshold, overlap)[:limit]

    def check(self, detection: int) -> None:
        """Stop where there is no such detection.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= detection < len(self.labels):
            raise IndexError(f"there is no detection {detection}: they are 0 to {len(self.labels) - 1}")


def best(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float, overlap: float = 0.5
) -> np.ndarray:
    """Return which of K detections have at least a score, the best first, at least one: one of each object.

    Args:
        boxes: (x1, y1, x2, y2), ``(K, 4)``.
        scores, labels: ``(K,)``.
        threshold: of the scores.
        overlap: IoU above which two of a class are one object.
    """
    given = (torch.from_numpy(np.ascontiguousarray(one)) for one in (boxes, scores, labels))
    order = batched_nms(*given, overlap).numpy()
    return order[: max(1, int((scores[order] >= threshold).sum()))]


def traced(
    model: ViDT | ViDTNeckFree, predict: Callable[[], Sequence[Any]], size: tuple[int, int]
) -> tuple[Sequence[Any], Trace]:
    """Predict one picture and return the prediction with the trace.

    Args:
        model: the detector.
        predict: runs it on a batch of one picture and returns a list of its sample.
        size: height and width of the picture in pixels.
    """
    found: list[Any] = []
    looks = [deque[tuple[int, Tensor]](maxlen=KEPT_BLOCKS) for _ in range(STAGES)]
    # a ViDT's head runs only some of its branches to predict, so its input is taken
    asked = model.bbox_head if isinstance(model, ViDTNeckFree) else model.decoder
    hooks = [asked.register_forward_hook(lambda _, given, out: found.append(out))]
    for kept, blocks in zip(looks, _blocks(model.backbone), strict=True):
        for number, block in enumerate(blocks):
            hooks.append(block.register_forward_pre_hook(_recorder(kept, number)))
    try:
        with torch.no_grad():
            samples = predict()
            boxes, scores, labels, queries, vectors = _by_detection(model, found[-1])
    finally:
        for hook in hooks:
            hook.remove()
    shown = samples[0].metainfo["img_shape"]
    per_pixel = [length / given for length, given in zip(size, shown, strict=False)]  # of the network's input
    attention = []
    for stage, kept in enumerate(looks):
        for block, weights in kept:
            down, across = (
                length * FIRST_STRIDE * 2**stage * scale
                for length, scale in zip(weights.shape[1:], per_pixel, strict=True)
            )
            attention.append(Attention(stage, block, _array(weights[queries]), (across, down)))
    corners = bbox_cxcywh_to_xyxy(boxes.float()) * boxes.new_tensor([size[1], size[0]] * 2)
    coefficients = None if vectors is None else _array(vectors)
    return samples, Trace(_array(corners), _array(scores), labels.cpu().numpy(), attention, coefficients)


def _by_detection(model: ViDT | ViDTNeckFree, found: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return boxes and scores by level, labels, queries and the last level's vectors of the detections."""
    head = model.bbox_head
    if isinstance(model, ViDTNeckFree):
        scores, labels = found.logits[:, 0].float().softmax(-1)[..., :-1].max(-1)
        return found.boxes[:, 0], scores, labels[0], torch.arange(labels.size(1), device=labels.device), None
    hidden, boxes = (one[:, 0] for one in found)  # (L + 1, N, C)
    pairs = best_pairs(head.cls_branches[-1](hidden[-1:]), head.test_cfg["max_per_img"])
    labels, queries = pairs.labels[0], pairs.queries[0]
    hidden = hidden[:, queries]
    logits = torch.stack([branch(states) for branch, states in zip(head.cls_branches, hidden, strict=True)])
    scores = logits.float().sigmoid()[:, torch.arange(len(labels), device=labels.device), labels]
    return boxes[:, queries], scores, labels, queries, head.vector_branch(hidden[-1]) if head.with_vector else None


def _blocks(backbone: nn.Module) -> list[nn.ModuleList]:
    """Return the blocks of each stage."""
    if isinstance(backbone, ViDTCoaT):
        return [backbone.get_submodule(f"serial_blocks{stage + 1}") for stage in range(STAGES)]
    return [stage.blocks for stage in backbone.stages]


def _recorder(kept: deque[tuple[int, Tensor]], number: int) -> Callable[[nn.Module, tuple], None]:
    """Return what notes the attention of a block's [DET] tokens to patches, ``(N, h, w)``, in a cross stage."""

    def record(block: nn.Module, given: tuple) -> None:
        patches, det, det_pos, size, *rest = given
        cross = rest[-1]
        if not isinstance(cross, CrossPatches):
            return
        (attention,) = (module for module in block.modules() if isinstance(module, DetAttention))
        seen = block.norm1(patches)[:, -size[0] * size[1] :]  # without CoaT's [CLS]
        asking = block.norm1(det) + block.det_pos_linear(det_pos)
        weights = attention.det_weights(seen, asking, cross)[0].mean(0)
        kept.append((number, weights[:, : size[0] * size[1]].unflatten(1, size)))

    return record


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
