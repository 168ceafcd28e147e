"""The residual hybrid attention group (RHAG): hybrid attention blocks, one overlapping block, a convolution.

Paper: arXiv 2309.05239, section 3.1, eq. (1). Official code: XPixelGroup/HAT @ 1638a9a, hat_arch.py (Apache-2.0), whose
parameter names are kept. Changed here: ``with_cp``, which the official code accepts as ``use_checkpoint`` and ignores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mm_hat.models.hybrid_attention import HAB
from mm_hat.models.overlapping_attention import OCAB
from mm_hat.models.windows import ShiftedOrder


@dataclass(frozen=True)
class WindowTables:
    """What all blocks need to know about the windows of one batch.

    Attributes:
        size: (H, W) of the maps.
        window_index: rows of the bias tables of the hybrid blocks.
        overlap_index: rows of the bias tables of the overlapping blocks.
        shift: the tokens of shifted windows.
        masks: masks for the kinds of shifted windows.
    """

    size: tuple[int, int]
    window_index: Tensor
    overlap_index: Tensor
    shift: ShiftedOrder
    masks: Tensor


class AttentionBlocks(nn.Module):
    """The blocks of a group: hybrid ones, every second of them with shifted windows, and one overlapping block.

    Args:
        blocks: the hybrid blocks.
        overlap_attn: the overlapping block.
        with_cp: in training compute each block again in the backward pass instead of keeping its activations.
    """

    def __init__(self, blocks: list[HAB], overlap_attn: OCAB, with_cp: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.overlap_attn = overlap_attn
        self.with_cp = with_cp

    def forward(self, tokens: Tensor, tables: WindowTables) -> Tensor:
        """Run the blocks: (B, H*W, C) to the same."""
        for block in self.blocks:
            tokens = self._run(block, tokens, tables.size, tables.window_index, tables.shift, tables.masks)
        return self._run(self.overlap_attn, tokens, tables.size, tables.overlap_index)

    def _run(self, block: nn.Module, tokens: Tensor, *tables: object) -> Tensor:
        if self.with_cp and self.training and torch.is_grad_enabled():
            return checkpoint(block, tokens, *tables, use_reentrant=False)
        return block(tokens, *tables)


class RHAG(nn.Module):
    """A group of attention blocks and a convolution, with a residual connection around them, eq. (1).

    Args:
        channels: width C.
        residual_group: the attention blocks.
        resi_connection: ``1conv`` for a 3x3 convolution at the end, ``identity`` for none.
    """

    def __init__(self, channels: int, residual_group: AttentionBlocks, resi_connection: str = "1conv"):
        super().__init__()
        self.residual_group = residual_group
        self.conv = residual_convolution(channels, resi_connection)

    def forward(self, tokens: Tensor, tables: WindowTables) -> Tensor:
        """Compute the group: (B, H*W, C) to the same."""
        maps = self.residual_group(tokens, tables).unflatten(1, tables.size).permute(0, 3, 1, 2)  # (B, C, H, W)
        return self.conv(maps).permute(0, 2, 3, 1).flatten(1, 2) + tokens


def residual_convolution(channels: int, resi_connection: str) -> nn.Module:
    """Return what stands before a residual connection.

    Raises:
        ValueError: the name is neither ``1conv`` nor ``identity``.
    """
    if resi_connection == "1conv":
        return nn.Conv2d(channels, channels, 3, padding=1)
    if resi_connection == "identity":
        return nn.Identity()
    raise ValueError(f"resi_connection={resi_connection!r} is neither '1conv' nor 'identity'")
