"""What a body hands to the neck and the decoder."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BodyOutput(NamedTuple):
    """Maps of patches and the [DET] tokens beside them.

    Attributes:
        maps: ``(B, C, h, w)`` each, of strides 8, 16, 32 and, where the body has its last merging, 64. Channels come
            last in memory.
        det: [DET] tokens of the last stage ``(B, N, C)``.
        det_pos: their position embedding ``(1, N, det_pos_dims)``, the same for all images.
    """

    maps: tuple[Tensor, ...]
    det: Tensor
    det_pos: Tensor
