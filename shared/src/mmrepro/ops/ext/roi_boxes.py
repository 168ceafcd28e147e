"""The check of regions of interest before a kernel that trusts them."""

from __future__ import annotations

import torch
from torch import Tensor


def check_rois(rois: Tensor, batch: int, height: int, width: int) -> None:
    """Refuse ``rois`` ``(R, 5)`` as ``(image, x1, y1, x2, y2)`` that a CPU kernel would read out of bounds for.

    A ``ValueError`` names a wrong shape, an empty map and the first region that is not finite or of no image of the
    batch. On other devices only shapes are checked: the rest would wait for the device at each call.
    """
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(f"rois is (R, 5) as (image, x1, y1, x2, y2), not {tuple(rois.shape)}")
    if len(rois) and height * width == 0:
        raise ValueError(f"the feature map of {height} x {width} has nothing to pool")
    if rois.device.type != "cpu":
        return
    refuse(rois, ~rois.isfinite().all(dim=1), "is not finite")
    refuse(rois, (rois[:, 0] < 0) | (rois[:, 0] >= batch), f"is of no image of the batch of {batch}")


def refuse(rois: Tensor, wrong: Tensor, reason: str) -> None:
    """Raise a ``ValueError`` that shows the first of the ``rois`` ``(R, 5)`` marked in ``wrong`` ``(R,)``, if any."""
    if bool(wrong.any()):
        row = int(torch.nonzero(wrong)[0])
        raise ValueError(f"region {row}, {[round(one, 4) for one in rois[row].tolist()]}, {reason}")
