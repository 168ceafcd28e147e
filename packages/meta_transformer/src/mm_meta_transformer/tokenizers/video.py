"""Clips to tokens: tubelets of some frames and a patch, and fixed positions (paper, table 1)."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.image import PatchEmbed, divided
from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class VideoTokenizer(BaseModule):
    """Tubelets of a clip ``(B, 3, T, H, W)`` as tokens, frame group by frame group, each row by row.

    ``info`` holds ``grid``, (frame groups, rows, columns), and ``prefix``, 0: there is no class token.

    Args:
        embed_dims: channels of the tokens.
        num_frames: frames that clips must have.
        img_size: height and width that clips must have.
        patch_size: side of a patch.
        tubelet_size: frames of a tubelet.
        in_channels: of a frame.
        position: whether a fixed sinusoid of the token's number is added.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        embed_dims: int,
        num_frames: int = 16,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        tubelet_size: int = 2,
        in_channels: int = 3,
        position: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sides = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.size = (num_frames, *sides)
        patch = (tubelet_size, patch_size, patch_size)
        grid = divided(self.size, patch, "(num_frames, *img_size)")
        self.in_channels = in_channels
        self.patch_embed = PatchEmbed(nn.Conv3d, in_channels, embed_dims, patch)
        table = number_sinusoids(grid[0] * grid[1] * grid[2], embed_dims) if position else None
        self.register_buffer("positions", table, persistent=False)
        self.invisible_settings = {"position": position}

    def forward(self, inputs: Tensor) -> Tokens:
        """Return the tokens of clips.

        Raises:
            ValueError: the clips have another size, length or number of channels.
        """
        if inputs.dim() != 5 or tuple(inputs.shape[1:]) != (self.in_channels, *self.size):
            raise ValueError(
                f"clips are {tuple(inputs.shape)}, the tokenizer is for (B, {self.in_channels}, *{self.size}). "
                "Fix: frames and crop in the pipeline, or num_frames and img_size of VideoTokenizer"
            )
        tokens, grid = self.patch_embed(inputs)
        if self.positions is not None:
            tokens = tokens + self.positions
        return Tokens(tokens, None, {"grid": grid, "prefix": 0})


def number_sinusoids(count: int, dims: int) -> Tensor:
    """Return ``(1, count, dims)``: sines of ``n / 10000 ** (2 (j // 2) / dims)`` in even columns, cosines in odd."""
    columns = torch.arange(dims, dtype=torch.float64)
    waves = 10000 ** (2 * torch.div(columns, 2, rounding_mode="floor") / dims)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / waves
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()[None]
