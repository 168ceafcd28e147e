"""The checks of regions of interest before a kernel that trusts them."""

from __future__ import annotations

import torch
from torch import Tensor

# Far above what a detector asks for: all pixels of a region of 8192 x 8192, whose table in torchvision's CPU kernel,
# with 32 bytes per sample, takes 2 GiB. Along one axis, so that an int16 counts the samples of a bin.
SAMPLES_PER_REGION = 2**26
SAMPLES_PER_AXIS = 2**15 - 1


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
    # A graph of torch.compile breaks at these two checks. They stay: without them the kernels read out of bounds.
    refuse(rois, ~rois.isfinite().all(dim=1), "is not finite")
    refuse(rois, (rois[:, 0] < 0) | (rois[:, 0] >= batch), f"is of no image of the batch of {batch}")


def check_samples(rois: Tensor, samples: Tensor, bins: int) -> None:
    """Refuse regions that no memory holds the samples of: ``samples`` ``(R, 2)``, before they are whole, in each bin.

    A ``ValueError`` shows the first of the ``rois`` ``(R, 5)`` with more than 2**26 samples in its bins, or more than
    32767 along one axis of a bin. Waits for the device.
    """
    fits = (samples.prod(dim=1) * bins <= SAMPLES_PER_REGION) & (samples <= SAMPLES_PER_AXIS).all(dim=1)
    refuse(
        rois,
        ~fits,  # NaN as well
        f"has more than {SAMPLES_PER_REGION} samples in {bins} bins, or {SAMPLES_PER_AXIS} along an axis of one",
    )


def refuse(rois: Tensor, wrong: Tensor, reason: str) -> None:
    """Raise a ``ValueError`` that shows the first of the ``rois`` ``(R, 5)`` marked in ``wrong`` ``(R,)``, if any."""
    if bool(wrong.any()):
        row = int(torch.nonzero(wrong)[0])
        raise ValueError(f"region {row}, {[round(one, 4) for one in rois[row].tolist()]}, {reason}")
