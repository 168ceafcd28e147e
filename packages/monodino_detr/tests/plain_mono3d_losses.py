"""Matching and losses as they are described: what the benchmark compares ours with.

As officially, the costs of a layer span all images and objects of the batch; layers are matched and compared one after
the other; boxes are painted into the depth map one by one, with four values read from the device each
(JihyeokKim/MonoDINO-DETR @ 65004cc: ``HungarianMatcher``, ``SetCriterion``, ``DDNLoss``).
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

Targets = list[dict[str, Tensor]]
Indices = list[tuple[Tensor, Tensor]]
WEIGHTS = {
    "loss_cls": 2.0,
    "loss_bbox": 5.0,
    "loss_iou": 2.0,
    "loss_center": 10.0,
    "loss_depth": 1.0,
    "loss_dim": 1.0,
    "loss_angle": 1.0,
}
BINS = 12


def plain_losses(predicted: dict[str, Tensor], targets: Targets, groups: int, depths: tuple[int, float, float]) -> dict:
    """All weighted losses under mmdet's names; targets have the fields of ``gt_instances``.

    Args:
        predicted: see ``plain_detector``.
        targets: of each image.
        groups: of the queries.
        depths: number of depth bins, and where they begin and end in metres.
    """
    count = max(float(sum(len(one["labels"]) for one in targets) * groups), 1.0)
    losses, last = {}, len(predicted["logits"]) - 1
    for layer in range(last + 1):
        of_layer = {name: predicted[name][layer] for name in ("logits", "boxes", "dims", "depths", "angles")}
        indices = plain_match(of_layer["logits"], of_layer["boxes"], targets, groups)
        prefix = "" if layer == last else f"d{layer}."
        for name, loss in plain_layer_losses(of_layer, targets, indices, count).items():
            losses[prefix + name] = WEIGHTS[name] * loss
    losses["loss_depth_map"] = plain_map_loss(predicted["depth_map_logits"], targets, *depths)
    return losses


def plain_corners(boxes: Tensor) -> Tensor:
    """Boxes (cx, cy, l, r, t, b) as corners."""
    cx, cy, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack([cx - left, cy - top, cx + right, cy + bottom], -1)


def plain_giou(one: Tensor, other: Tensor) -> Tensor:
    """The GIoU of each box of ``(N, 4)`` with each of ``(T, 4)``."""
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    common = (torch.min(one[:, None, 2:], other[:, 2:]) - torch.max(one[:, None, :2], other[:, :2])).clamp(min=0)
    common = common.prod(-1)
    union = areas[0][:, None] + areas[1] - common
    hull = (torch.max(one[:, None, 2:], other[:, 2:]) - torch.min(one[:, None, :2], other[:, :2])).clamp(min=0)
    hull = hull.prod(-1)
    return common / union - (hull - union) / hull


@torch.no_grad()
def plain_match(logits: Tensor, boxes: Tensor, targets: Targets, groups: int) -> Indices:
    """The queries and objects of each image that belong together, group by group."""
    batch, queries = logits.shape[:2]
    chances, found = logits.flatten(0, 1).sigmoid(), boxes.flatten(0, 1)
    labels, wanted = (torch.cat([one[name] for one in targets]) for name in ("labels", "boxes_3d"))
    negative = 0.75 * chances**2 * -(1 - chances + 1e-8).log()
    positive = 0.25 * (1 - chances) ** 2 * -(chances + 1e-8).log()
    cost = (
        2 * (positive[:, labels] - negative[:, labels])
        + 5 * torch.cdist(found[:, 2:], wanted[:, 2:], p=1)
        + 10 * torch.cdist(found[:, :2], wanted[:, :2], p=1)
        - 2 * plain_giou(plain_corners(found), plain_corners(wanted))
    )
    cost, sizes, size = cost.view(batch, queries, -1).cpu(), [len(one["labels"]) for one in targets], queries // groups
    indices: list[tuple[list, list]] = [([], []) for _ in targets]
    for group, part in enumerate(cost.split(size, 1)):
        for image, one in enumerate(part.split(sizes, -1)):
            rows, columns = linear_sum_assignment(one[image])
            indices[image][0].append(torch.as_tensor(rows) + group * size)
            indices[image][1].append(torch.as_tensor(columns))
    return [(torch.cat(rows), torch.cat(columns)) for rows, columns in indices]


def plain_layer_losses(
    predicted: dict[str, Tensor], targets: Targets, indices: Indices, count: float
) -> dict[str, Tensor]:
    """The losses of one layer without weights."""
    images = torch.cat([torch.full_like(rows, image) for image, (rows, _) in enumerate(indices)])
    place = images, torch.cat([rows for rows, _ in indices])

    def of_objects(name: str) -> Tensor:
        return torch.cat([one[name][columns] for one, (_, columns) in zip(targets, indices, strict=True)])

    logits = predicted["logits"]
    wanted = torch.zeros_like(logits)
    wanted[(*place, of_objects("labels"))] = 1
    chances = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = 1 - (chances * wanted + (1 - chances) * (1 - wanted))
    focal = (0.25 * wanted + 0.75 * (1 - wanted)) * entropy * missed**2
    losses = {"loss_cls": focal.mean(1).sum() / count * logits.shape[1]}

    boxes, boxes_3d = predicted["boxes"][place], of_objects("boxes_3d")
    losses["loss_center"] = (boxes[:, :2] - boxes_3d[:, :2]).abs().sum() / count
    losses["loss_bbox"] = (boxes[:, 2:] - boxes_3d[:, 2:]).abs().sum() / count
    overlaps = plain_giou(plain_corners(boxes), plain_corners(boxes_3d)).diag()
    losses["loss_iou"] = (1 - overlaps).sum() / count

    depth, variance = predicted["depths"][place].unbind(-1)
    losses["loss_depth"] = (1.4142 * (-variance).exp() * (depth - of_objects("depth")).abs() + variance).sum() / count

    dims, sizes = predicted["dims"][place], of_objects("size_3d")
    relative = (dims - sizes).abs() / sizes
    with torch.no_grad():
        scale = (dims - sizes).abs().mean() / relative.mean()
    losses["loss_dim"] = (relative * scale).sum() / count

    angles, bins = predicted["angles"][place], of_objects("heading_bin")
    entropy = F.cross_entropy(angles[:, :BINS], bins, reduction="none")
    one_hot = torch.zeros(len(bins), BINS).scatter_(1, bins[:, None], 1)
    residual = (angles[:, BINS:] * one_hot).sum(1)
    losses["loss_angle"] = (entropy + (residual - of_objects("heading_res")).abs()).sum() / count
    return losses


def plain_map_loss(logits: Tensor, targets: Targets, bins: int, near: float, far: float) -> Tensor:
    """The focal loss of the depth map, whose objects are painted one by one, the nearest last."""
    height, width = logits.shape[-2:]
    depths = torch.zeros(len(logits), height, width)
    weights = torch.ones(len(logits), height, width)
    for image, one in enumerate(targets):
        centres, sides = one["boxes"].split(2, -1)
        corners = torch.cat([centres - sides / 2, centres + sides / 2], -1) * torch.tensor([width, height] * 2)
        corners = torch.cat([corners[:, :2].floor(), corners[:, 2:].ceil()], -1).long()
        for index in one["depth"].argsort(descending=True):
            x1, y1, x2, y2 = (value.item() for value in corners[index])
            depths[image, y1:y2, x1:x2] = one["depth"][index]
        for index in range(len(corners)):
            x1, y1, x2, y2 = (value.item() for value in corners[index])
            weights[image, y1:y2, x1:x2] = 13.0
    growth = 2 * (far - near) / (bins * (1 + bins))
    places = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depths - near) / growth)
    places[(places < 0) | (places > bins) | ~places.isfinite()] = bins
    one_hot = F.one_hot(places.long(), bins + 1).permute(0, 3, 1, 2) + 1e-6
    chances, logarithms = logits.softmax(1), logits.log_softmax(1)
    each = (one_hot * (-0.25 * (1 - chances) ** 2 * logarithms)).sum(1)
    return (each * weights).sum() / weights.numel()
