"""Masks as the low frequencies of a small picture: the vectors of ViDT+ (arXiv 2204.07962).

A mask, cut out by its box and resized to 128 x 128, is written as the first 256 coefficients of its orthonormal
two-dimensional DCT-II, in the zigzag order of JPEG. They lie in the top left corner of 23 x 23, so that all masks of an
image are two products with the 23 lowest rows of the DCT matrix. The official code (naver-ai/vidt @ a8c48b5,
``ProcessorDCT``) walks 16384 places in Python and calls OpenCV once for each mask.
"""

from __future__ import annotations

import math

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmrepro.engine.without_autocast import without_autocast

PIXELS_AT_ONCE = 2**25  # of maps or of pasted masks: a float32 and its grid take 12 bytes each


def zigzag(size: int, count: int) -> Tensor:
    """Return the first places ``row * size + column`` of JPEG's order through a square, ``(count,)``.

    It begins (0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2): odd diagonals lead down, even ones up.
    """
    row, column = torch.arange(size)[:, None], torch.arange(size)
    diagonal = row + column
    along = torch.where(diagonal % 2 == 1, row, column)
    return (diagonal * size + along).flatten().argsort()[:count]


def dct_rows(size: int, count: int) -> Tensor:
    """Return the lowest rows of the orthonormal DCT-II matrix of ``size`` points, float32 ``(count, size)``."""
    frequency = torch.arange(count, dtype=torch.float64)[:, None]
    point = torch.arange(size, dtype=torch.float64) + 0.5
    rows = torch.cos(math.pi / size * frequency * point) * math.sqrt(2 / size)
    rows[0] = 1 / math.sqrt(size)
    return rows.float()


@MODELS.register_module()
class DCTMaskCoder(nn.Module):
    """Masks to vectors and back; it has nothing to learn and nothing to save.

    Args:
        mask_size: side of the small picture (officially ``gt_mask_len``).
        n_keep: how many coefficients a mask has.

    Raises:
        ValueError: a picture has fewer coefficients.
    """

    def __init__(self, mask_size: int = 128, n_keep: int = 256) -> None:
        super().__init__()
        if not 0 < n_keep <= mask_size**2:
            raise ValueError(f"n_keep={n_keep}: a mask of {mask_size} x {mask_size} has 1 to {mask_size**2} of them")
        self.mask_size, self.n_keep = mask_size, n_keep
        with torch.device("cpu"):  # from sizes alone: a model whose weights are yet to come, on "meta", has them too
            places = zigzag(mask_size, n_keep)
            rows, columns = places // mask_size, places % mask_size
            self.corner = int(torch.maximum(rows, columns).max()) + 1
            self.register_buffer("places", rows * self.corner + columns, persistent=False)
            self.register_buffer("dct", dct_rows(mask_size, self.corner), persistent=False)

    def encode(self, masks: Tensor) -> Tensor:
        """Return the coefficients ``(K, n_keep)`` of masks ``(K, mask_size, mask_size)`` of 0 and 1, in float32."""
        with without_autocast(masks):
            return (self.dct @ masks.float() @ self.dct.T).flatten(1)[:, self.places]

    def decode(self, vectors: Tensor) -> Tensor:
        """Return the maps ``(K, mask_size, mask_size)`` of coefficients ``(K, n_keep)``, in float32."""
        with without_autocast(vectors):
            corner = vectors.new_zeros((len(vectors), self.corner**2), dtype=torch.float32)
            corner[:, self.places] = vectors.float()
            return self.dct.T @ (corner.unflatten(1, (self.corner, self.corner)) @ self.dct)

    def binary(self, maps: Tensor) -> Tensor:
        """Return where maps ``(K, mask_size, mask_size)`` are above the middle between their extremes, as bools."""
        middle = (maps.amin((1, 2), keepdim=True) + maps.amax((1, 2), keepdim=True)) / 2  # aminmax is 50 times slower
        return maps > middle

    def paste(self, binary: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
        """Paste masks into the image: a pixel is inside where the binary map, interpolated at its centre, is 0.5.

        Args:
            binary: ``(K, mask_size, mask_size)``.
            boxes: ``(x1, y1, x2, y2)`` in pixels, as predicted: they may reach out of the image, ``(K, 4)``.
            height, width: of the image.

        Returns:
            Bools ``(K, height, width)``; a box without an area, or that is not finite, has an empty mask.
        """
        # mmdet's pasting is the same formula, but it fails for boxes beside the image and fills rows of flat ones
        pasted = torch.zeros((len(binary), height, width), dtype=torch.bool, device=binary.device)
        boxes = boxes.float()
        boxes = boxes.masked_fill(~boxes.isfinite().all(1, keepdim=True), 0)  # such a box has no area
        filled = binary & (boxes[:, 2:] > boxes[:, :2]).all(1)[:, None, None]
        if binary.device.type == "cpu":  # one after the other, and only around its box
            for one, box, inside in zip(filled, boxes, pasted, strict=True):
                left, top, right, bottom = _around(box.tolist(), height, width)
                if left < right and top < bottom:
                    values = _sampled(one[None], box[None], slice(top, bottom), slice(left, right))
                    inside[top:bottom, left:right] = values[0] >= 0.5
            return pasted
        at_once = max(1, PIXELS_AT_ONCE // (height * width))
        for some, around, inside in zip(*(one.split(at_once) for one in (filled, boxes, pasted)), strict=True):
            inside.copy_(_sampled(some, around, slice(0, height), slice(0, width)) >= 0.5)
        return pasted

    def masks(self, vectors: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
        """Return the masks in the image that coefficients and boxes stand for, bools ``(K, height, width)``.

        Args:
            vectors: ``(K, n_keep)``.
            boxes, height, width: see :meth:`paste`.
        """
        parts = vectors.split(max(1, PIXELS_AT_ONCE // self.mask_size**2))
        return self.paste(torch.cat([self.binary(self.decode(part)) for part in parts]), boxes, height, width)


def _around(box: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """Return the pixels of an image that a box may cover, as (left, top, right, bottom); none where it is beside."""
    x0, y0, x1, y1 = (min(max(side, -1.0), length + 1.0) for side, length in zip(box, (width, height) * 2, strict=True))
    return max(math.floor(x0), 0), max(math.floor(y0), 0), min(math.ceil(x1), width), min(math.ceil(y1), height)


def _sampled(binary: Tensor, boxes: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return maps ``(K, size, size)``, spread over their boxes and zero around, at the centres of some pixels."""
    grid = []
    for axis, pixels in enumerate((columns, rows)):
        centres = torch.arange(pixels.start, pixels.stop, device=boxes.device) + 0.5
        first, last = boxes[:, axis, None], boxes[:, axis + 2, None]
        grid.append((centres - first) / (last - first) * 2 - 1)  # (K, pixels)
    x, y = grid
    places = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), -1)
    return F.grid_sample(binary[:, None].float(), places, align_corners=False)[:, 0]
