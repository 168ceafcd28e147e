"""Official masks and losses, written down plainly from their description: what tests and benchmarks compare ours with.

Level by level, masks of all classes as floats, DCT one mask after the other (naver-ai/vidt @ a8c48b5, branch vidt-plus:
methods/vidt/criterion.py, matcher.py, dct.py, postprocessor.py). Nothing of ours is imported.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou, generalized_box_iou, roi_align

SIDE, KEPT, ALPHA = 128, 256, 0.25


def zigzag_walk(size: int) -> list[tuple[int, int]]:
    """JPEG's order of the places of a square, walked step by step."""
    places, row, column, up = [], 0, 0, True
    for _ in range(size * size):
        places.append((row, column))
        if up:
            if column == size - 1:
                row, up = row + 1, False
            elif row == 0:
                column, up = column + 1, False
            else:
                row, column = row - 1, column + 1
        elif row == size - 1:
            column, up = column + 1, True
        elif column == 0:
            row, up = row + 1, True
        else:
            row, column = row + 1, column - 1
    return places


KEPT_PLACES = [row * SIDE + column for row, column in zigzag_walk(SIDE)[:KEPT]]  # officially, too, walked once


def plain_vector(crop: np.ndarray) -> np.ndarray:
    """The coefficients of one binary picture ``(SIDE, SIDE)``."""
    return cv2.dct(crop.astype(np.float32)).ravel()[KEPT_PLACES]


def plain_decode(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and binary pictures of coefficients ``(K, KEPT)``, one by one."""
    maps, binary = [], []
    for vector in vectors.cpu().numpy():
        padded, matrix = np.zeros(SIDE * SIDE, np.float32), np.zeros((SIDE, SIDE), np.float32)
        padded[: len(vector)] = vector
        for number, place in enumerate(zigzag_walk(SIDE)):  # officially again for each, and to the end
            matrix[place] = padded[number]
        picture = cv2.idct(matrix)
        maps.append(picture)
        binary.append(picture > (picture.max() + picture.min()) / 2)
    return torch.from_numpy(np.stack(maps)), torch.from_numpy(np.stack(binary))


def plain_paste(binary: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Pictures in the image, one by one; around its box each pixel is looked up."""
    found = torch.zeros(len(binary), height, width, dtype=torch.bool)
    for inside, one, (x0, y0, x1, y1) in zip(found, binary, boxes.tolist(), strict=True):
        left, top = (max(math.floor(start) - 1, 0) for start in (x0, y0))
        right, bottom = (min(math.ceil(stop) + 1, side) for stop, side in ((x1, width), (y1, height)))
        if left >= right or top >= bottom:
            continue
        x = (torch.arange(left, right) + 0.5 - x0) / (x1 - x0) * 2 - 1
        y = (torch.arange(top, bottom) + 0.5 - y0) / (y1 - y0) * 2 - 1
        grid = torch.stack(torch.broadcast_tensors(x, y[:, None]), -1)
        pasted = F.grid_sample(one[None, None].float(), grid[None], align_corners=False)[0, 0]
        inside[top:bottom, left:right] = pasted >= 0.5
    return found


def plain_crop(mask: Tensor, box: Tensor) -> Tensor:
    """One mask ``(H, W)``, cut out by its box."""
    return roi_align(mask[None, None].float(), [box[None].float()], SIDE, 1.0, -1, aligned=True)[0, 0] >= 0.5


def plain_padded(masks: list[Tensor]) -> Tensor:
    """Masks of images, each ``(K, H, W)``, as one tensor ``(B, largest K, H, W)`` with empty ones at the end."""
    padded = masks[0].new_zeros(len(masks), max(map(len, masks)), *masks[0].shape[1:])
    for into, of_image in zip(padded, masks, strict=True):
        into[: len(of_image)] = of_image
    return padded


def plain_mask_targets(masks: list[Tensor], boxes: list[Tensor], chosen: list[Tensor] | None = None) -> Tensor:
    """The coefficients of the objects of all images, or of chosen ones of each, ``(T, KEPT)``."""
    chosen = [torch.arange(len(one)) for one in masks] if chosen is None else chosen
    of_all = plain_padded(masks).float()
    images = torch.cat([torch.full((len(rows),), image) for image, rows in enumerate(chosen)])
    planes = of_all[images, torch.cat(chosen)][:, None]
    around = torch.cat([one[rows] for one, rows in zip(boxes, chosen, strict=True)]).float()
    if not len(around):
        return torch.zeros(0, KEPT)
    numbers = torch.arange(len(around))[:, None]
    crops = roi_align(planes, torch.cat([numbers, around], 1), SIDE, 1.0, -1, aligned=True)[:, 0] >= 0.5
    return torch.stack([torch.from_numpy(plain_vector(crop.numpy())) for crop in crops])


def plain_focal(logits: Tensor, targets: Tensor) -> Tensor:
    """The focal loss of each entry."""
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    return (ALPHA * targets + (1 - ALPHA) * (1 - targets)) * entropy * (1 - right) ** 2


def plain_token_targets(
    masks: list[Tensor], channels: list[list[int]], sizes: list[tuple[int, int]], number: int
) -> list[Tensor]:
    """The one-hot picture of the classes, pooled to each level's size, ``(B, h, w, number)``."""
    classes = torch.zeros(len(masks), *masks[0].shape[1:], dtype=torch.long)
    for painted, of_image, own in zip(classes, masks, channels, strict=True):
        for mask, channel in zip(of_image, own, strict=True):
            painted[(painted == 0) & (mask > 0)] = channel
    one_hot = torch.zeros(*classes.shape, number).scatter_(-1, classes[..., None], 1.0)
    one_hot[..., 0] = 1 - one_hot[..., 0]
    return [F.adaptive_avg_pool2d(one_hot.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1) for size in sizes]


def plain_token_losses(
    logits: list[Tensor], masks: list[Tensor], channels: list[list[int]], boxes: float
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of token labels."""
    sizes = [tuple(one.shape[1:3]) for one in logits]
    focal, dice = 0.0, 0.0
    targets = plain_token_targets(masks, channels, sizes, logits[0].shape[-1])
    for of_level, wanted in zip(logits, targets, strict=True):
        of_level, wanted = of_level.flatten(1, 2), wanted.flatten(1, 2)
        focal = focal + plain_focal(of_level, wanted).mean(1).sum() / boxes
        p, t = of_level.sigmoid().flatten(1), wanted.flatten(1)
        dice = dice + (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).sum() / boxes
    return focal, dice


def plain_match(logits: Tensor, boxes: Tensor, targets: list[dict[str, Tensor]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The matching of one level; the matrix of costs spans all images."""
    p, guess = logits.flatten(0, 1).sigmoid(), boxes.flatten(0, 1)
    labels = torch.cat([one["labels"] for one in targets])
    wanted = torch.cat([one["boxes"] for one in targets])
    negative = (1 - ALPHA) * p**2 * -(1 - p + 1e-8).log()
    positive = ALPHA * (1 - p) ** 2 * -(p + 1e-8).log()
    cost = 2 * (positive[:, labels] - negative[:, labels]) + 5 * torch.cdist(guess, wanted, p=1)
    cost = cost - 2 * generalized_box_iou(box_convert(guess, "cxcywh", "xyxy"), box_convert(wanted, "cxcywh", "xyxy"))
    parts = cost.view(*logits.shape[:2], -1).cpu().split([len(one["labels"]) for one in targets], -1)
    return [linear_sum_assignment(part[image]) for image, part in enumerate(parts)]


def plain_losses(
    predictions: dict[str, Tensor | list[Tensor]], targets: list[dict[str, Tensor]], channels: list[list[int]]
) -> dict[str, Tensor]:
    """The losses without weights of all levels, under our names.

    Args:
        predictions: ``logits``, ``boxes``, ``vectors``, ``ious`` of all levels, and ``tokens``, shaped as in ours.
        targets: of each image ``labels``, ``boxes`` (cx, cy, w, h) in parts of the image, ``corners`` in pixels, and
            ``masks`` of the size of the batch.
        channels: those of the objects in the token labels.
    """
    number = max(sum(len(one["labels"]) for one in targets), 1)
    masks, found = [one["masks"] for one in targets], {}
    last = len(predictions["logits"]) - 1
    for level in range(last + 1):
        logits, boxes = predictions["logits"][level], predictions["boxes"][level]
        with torch.no_grad():
            pairs = plain_match(logits, boxes, targets)
        images = torch.cat([torch.full((len(queries),), image) for image, (queries, _) in enumerate(pairs)])
        place = images, torch.cat([torch.from_numpy(queries) for queries, _ in pairs])
        chosen = [torch.from_numpy(rows) for _, rows in pairs]
        labels, wanted = (
            torch.cat([one[name][rows] for one, rows in zip(targets, chosen, strict=True)])
            for name in ("labels", "boxes")
        )
        classes = torch.full(logits.shape[:2], logits.shape[-1])
        classes[place] = labels
        one_hot = F.one_hot(classes, logits.shape[-1] + 1)[..., :-1].float()
        own, other = (box_convert(one, "cxcywh", "xyxy") for one in (boxes[place], wanted))
        vectors = plain_mask_targets(masks, [one["corners"] for one in targets], chosen)  # again for each level
        name = "" if level == last else f"d{level}."
        found[f"{name}loss_cls"] = plain_focal(logits, one_hot).mean(1).sum() / number * logits.shape[1]
        found[f"{name}loss_bbox"] = (boxes[place] - wanted).abs().sum() / number
        found[f"{name}loss_iou"] = (1 - generalized_box_iou(own, other).diag()).sum() / number
        overlaps = box_iou(own, other).diag()
        found[f"{name}loss_iou_aware"] = (
            F.binary_cross_entropy_with_logits(predictions["ious"][level][place][:, 0], overlaps, reduction="sum")
            / number
        )
        found[f"{name}loss_vector"] = (predictions["vectors"][level][place] - vectors).abs().mean()
    focal, dice = plain_token_losses(predictions["tokens"], masks, channels, number)
    return found | {"loss_token_focal": focal, "loss_token_dice": dice}
