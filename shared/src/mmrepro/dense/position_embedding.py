"""The learned table of positions, resized to the map at hand."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


class PositionEmbedding:
    """Resize a table of positions to maps of other sizes.

    As in the official code in every forward: whoever kept results would have to know when the table changed.

    Args:
        pretrain_size: side in pixels of the images that the table was made for.
        patch_size: side of a patch in pixels.
        class_row: whether the table's first row belongs to a class token; it is skipped.

    Raises:
        ValueError: ``pretrain_size`` is no multiple of the patch.
    """

    def __init__(self, pretrain_size: int, patch_size: int, class_row: bool):
        if pretrain_size < patch_size or pretrain_size % patch_size:
            raise ValueError(
                f"pretrain_size={pretrain_size} is no multiple of the patch, {patch_size} pixels: give the side of the "
                "images that the position table was made for (224 for 14 x 14 positions, 592 for DINOv2's 37 x 37)"
            )
        self.side = pretrain_size // patch_size
        self.skipped = int(class_row)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.side**2 + self.skipped

    def resized(self, table: Tensor, height: int, width: int) -> Tensor:
        """Return positions of a map of H x W tokens: (1, rows, C) to (1, H*W, C), bicubic without antialiasing."""
        rows = table[:, self.skipped :]
        if (height, width) == (self.side, self.side):  # bicubic weights are then 0 and 1 exactly
            return rows
        maps = rows.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)  # (1, C, g, g)
        maps = F.interpolate(maps, (height, width), mode="bicubic", align_corners=False)
        return maps.permute(0, 2, 3, 1).flatten(1, 2)
