"""Token labelling: which classes cover each location of the memory (ViDT+, arXiv 2204.07962).

After naver-ai/vidt @ a8c48b5 (``loss_token_focal``, ``loss_token_dice``). There a one-hot picture of all classes is
pooled once a level, 390 MB for one image. Here the pixels of each class present are counted in the cells between the
borders of all levels' bins, and the bins of a level are sums of cells: the same averages, exactly counted.

Channels: 0 is the share of a location that any object covers, the others are classes. With raw category ids a class's
channel is its id, for there is no class 0; contiguous labels begin with 0, so each class is one channel further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Labels = Literal["contiguous", "raw"]
ALPHA = 0.25
PIXELS_AT_ONCE = 2**18  # that are counted together: each takes 12 bytes
LOCATIONS_AT_ONCE = 1024  # of an image in the losses: their intermediate results take 20 times the space of logits


def first_channel(labels: Labels) -> int:
    """Return the channel of label 0: 1 where labels are contiguous, 0 where they are raw category ids.

    Raises:
        ValueError: they are neither.
    """
    if labels not in ("contiguous", "raw"):
        raise ValueError(f"labels={labels!r}: 'contiguous' (0 to classes - 1) or 'raw' (category ids from 1 on)")
    return int(labels == "contiguous")


def token_channels(num_classes: int, labels: Labels) -> int:
    """Return how many channels token logits have: one more than classes for contiguous labels, else as many."""
    return num_classes + first_channel(labels)


def token_label_targets(
    masks: Sequence[Tensor],
    channels: Sequence[Sequence[int]],
    sizes: Sequence[tuple[int, int]],
    num_channels: int,
) -> list[Tensor]:
    """Return the share of each location that each class covers; where objects overlap, the first one counts.

    Args:
        masks: of each of the B images, uint8 ``(objects, H, W)`` of 0 and 1, padded to one size.
        channels: those of the objects of each image, from 1 on.
        sizes: (h, w) of each level.
        num_channels: of the results.

    Returns:
        For each level ``(B, h, w, num_channels)``: the adaptive average pooling of the classes' masks to its size, in
        channel 0 that of all objects.
    """
    height, width = masks[0].shape[1:]
    device = masks[0].device
    rows, columns = (
        _Cells(length, [size[axis] for size in sizes], device) for axis, length in enumerate((height, width))
    )
    targets = [torch.zeros((len(masks), h, w, num_channels), device=device) for h, w in sizes]
    for image, (of_image, own) in enumerate(zip(masks, channels, strict=True)):
        if not len(of_image):
            continue
        present = sorted(set(own))
        counts = _counts(of_image, [present.index(one) for one in own], len(present), rows, columns)
        counts = torch.cat([counts.sum(0, keepdim=True), counts])
        place = torch.tensor([0, *present], device=device)
        for level, target in enumerate(targets):
            # (k + 1, rows of cells, columns of cells) -> (k + 1, h, w)
            pooled = rows.means[level] @ counts @ columns.means[level].T
            target[image].index_copy_(2, place, pooled.permute(1, 2, 0))
    return targets


def token_label_losses(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the focal and the dice loss of token labels, summed over levels and images.

    The focal loss is a mean over the locations of a level and a sum over channels; the dice loss is one over all
    locations and channels of a level. Padding counts, as officially.

    Args:
        logits: of each level, float32 ``(B, h, w, channels)``.
        targets: in [0, 1], of the same shapes.
    """
    focal, dice = 0.0, 0.0
    for of_level, wanted in zip(logits, targets, strict=True):
        sums = _TokenLosses.apply(of_level.flatten(1, 2), wanted.flatten(1, 2))
        focal = focal + sums[0].sum() / of_level[0, ..., 0].numel()
        dice = dice + sums[1].sum()
    return focal, dice


class _Cells:
    """One axis of a picture, cut at the borders of the bins of all levels.

    Args:
        length: of the axis in pixels.
        bins: how many each level has; those of adaptive pooling may share a pixel.
        device: where the matrices lie.

    Attributes:
        number: how many cells there are.
        of_pixel: the cell of each pixel, ``(length,)``.
        means: for each level ``(bins, cells)``: a bin's mean is the product with the cells' sums.
    """

    def __init__(self, length: int, bins: Sequence[int], device: torch.device) -> None:
        spans = [[(i * length // n, -(-(i + 1) * length // n)) for i in range(n)] for n in bins]
        edges = sorted({edge for level in spans for span in level for edge in span})
        starts, self.number = torch.tensor(edges[:-1]), len(edges) - 1
        self.of_pixel = torch.arange(self.number).repeat_interleave(torch.tensor(edges).diff()).to(device)
        self.means = []
        for level in spans:
            first, last = torch.tensor(level).T[..., None]
            inside = (starts >= first) & (starts < last)
            self.means.append((inside / (last - first)).to(device))


def _counts(masks: Tensor, classes: Sequence[int], number: int, rows: _Cells, columns: _Cells) -> Tensor:
    """Count the pixels of each of ``number`` classes in each cell, ``(number, rows.number, columns.number)``."""
    objects = len(masks)
    dtype = torch.uint8 if objects < 256 else torch.int32
    canvas = torch.zeros_like(masks[0], dtype=dtype)
    for place, mask in enumerate(masks):  # the first object has the largest value; 0 is none
        torch.maximum(canvas, mask.to(dtype) * (objects - place), out=canvas)
    # the last class is that of no object
    class_of_value = torch.tensor([number, *reversed(classes)], device=masks.device)
    counts = torch.zeros(rows.number * columns.number * (number + 1), dtype=torch.int32, device=masks.device)
    strip = max(1, PIXELS_AT_ONCE // canvas.shape[1])
    for values, of_rows in zip(canvas.split(strip), rows.of_pixel.split(strip), strict=True):
        index = class_of_value.index_select(0, values.flatten().int()).view(values.shape)
        index += (of_rows * (columns.number * (number + 1)))[:, None]
        index += columns.of_pixel * (number + 1)
        # not bincount, which waits for a GPU to learn the largest value
        counts.scatter_add_(0, index.flatten(), counts.new_ones(()).expand(index.numel()))
    return counts.view(rows.number, columns.number, number + 1)[..., :-1].permute(2, 0, 1).float()


class _TokenLosses(torch.autograd.Function):
    """Focal and dice sums of each image; nothing of the logits' size is kept for the backward pass but they themselves.

    ``logits`` and ``targets`` are ``(B, S, channels)``, both results ``(B,)``. With p the sigmoid of a logit and t its
    target, the focal loss is ``a c q^2``, where ``a = 1 - ALPHA + (2 ALPHA - 1) t``, ``c`` is the cross entropy, and
    ``q = p + t - 2 p t`` the probability of being wrong; dice is ``1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        sums = logits.new_zeros(3, len(logits))
        for x, t in _parts(logits, targets):
            p = x.sigmoid()
            q = _wrong(p, t)
            sums[0] += q.square_().mul_(_balance(t)).mul_(_cross_entropy(x, t)).sum((1, 2))
            sums[1] += p.sum((1, 2)) + t.sum((1, 2))
            sums[2] += p.mul_(t).sum((1, 2))
        focal, both, common = sums
        numerator, denominator = 2 * common + 1, both + 1
        ctx.save_for_backward(logits, targets, numerator, denominator)
        return focal.clone(), 1 - numerator / denominator

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_focal: Tensor, of_dice: Tensor) -> tuple[Tensor, None]:
        logits, targets, numerator, denominator = ctx.saved_tensors
        constant = (of_dice * numerator / denominator**2)[:, None, None]
        slope = (of_dice * 2 / denominator)[:, None, None]
        gradient = torch.empty_like(logits)
        for (x, t), part in zip(_parts(logits, targets), gradient.split(LOCATIONS_AT_ONCE, 1), strict=True):
            p = x.sigmoid()
            q, dp = _wrong(p, t), p * (1 - p)
            focal = _cross_entropy(x, t).mul_(1 - 2 * t).mul_(dp).mul_(2).addcmul_(p.sub_(t), q).mul_(q)
            focal.mul_(_balance(t)).mul_(of_focal[:, None, None])
            torch.addcmul(focal, constant - slope * t, dp, out=part)
        return gradient, None


def _parts(logits: Tensor, targets: Tensor) -> Any:
    return zip(logits.split(LOCATIONS_AT_ONCE, 1), targets.split(LOCATIONS_AT_ONCE, 1), strict=True)


def _wrong(p: Tensor, t: Tensor) -> Tensor:
    return torch.addcmul(p + t, p, t, value=-2)


def _balance(t: Tensor) -> Tensor:
    return (1 - ALPHA) + (2 * ALPHA - 1) * t


def _cross_entropy(x: Tensor, t: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(x, t, reduction="none")
