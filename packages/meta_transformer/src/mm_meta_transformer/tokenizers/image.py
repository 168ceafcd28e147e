"""Pictures to tokens: patches, and where wanted a class token and learned positions (paper, table 1).

It serves photographs, infrared pictures and X-rays; a picture of one channel is repeated to the tokenizer's three.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens


class PatchEmbed(nn.Module):
    """Patches as vectors: a convolution whose kernel is its stride.

    Args:
        convolution: ``nn.Conv2d`` or ``nn.Conv3d``.
        in_channels: of the picture.
        embed_dims: of the tokens.
        patch: kernel and stride.
    """

    def __init__(
        self, convolution: type[nn.Module], in_channels: int, embed_dims: int, patch: int | tuple[int, ...]
    ) -> None:
        super().__init__()
        self.proj = convolution(in_channels, embed_dims, kernel_size=patch, stride=patch)

    def forward(self, values: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return tokens ``(B, N, C)``, the last axis of the grid fastest, and the grid."""
        embedded = self.proj(values)
        return embedded.flatten(2).transpose(1, 2), tuple(embedded.shape[2:])


@MODELS.register_module()
class ImageTokenizer(BaseModule):
    """Patches of a picture ``(B, 3, H, W)`` or ``(B, 1, H, W)`` as tokens, row by row.

    ``info`` holds ``grid``, (rows, columns), and ``prefix``, the number of class tokens.

    Args:
        embed_dims: channels of the tokens.
        img_size: height and width that pictures must have.
        patch_size: side of a patch; the large encoder's file was trained with 14.
        in_channels: of the convolution; pictures of one channel are repeated to as many.
        class_token: whether a learned token comes first.
        position: whether learned positions are added, the class token's among them.
        dropout: on the finished tokens.
        init_cfg: as in mmengine; ``PretrainedTimmViT`` fills all but the dropout.
    """

    def __init__(
        self,
        embed_dims: int,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        class_token: bool = True,
        position: bool = True,
        dropout: float = 0.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        self.grid = divided(self.img_size, patch_size, "img_size")
        self.in_channels = in_channels
        self.patch_embed = PatchEmbed(nn.Conv2d, in_channels, embed_dims, patch_size)
        self.prefix = int(class_token)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims)) if class_token else None
        count = self.prefix + self.grid[0] * self.grid[1]
        self.pos_embed = nn.Parameter(torch.zeros(1, count, embed_dims)) if position else None
        self.dropout = nn.Dropout(dropout)

    def init_weights(self) -> None:
        """Draw class token and positions, then what ``init_cfg`` says."""
        for table in (self.cls_token, self.pos_embed):
            if table is not None:
                trunc_normal_(table, std=0.02)
        super().init_weights()

    def forward(self, inputs: Tensor) -> Tokens:
        """Return the tokens of pictures.

        Raises:
            ValueError: the pictures have another size or number of channels.
        """
        if inputs.dim() != 4 or inputs.shape[1] not in (1, self.in_channels):
            raise ValueError(f"pictures are {tuple(inputs.shape)}; they must be (B, {self.in_channels}, H, W)")
        if tuple(inputs.shape[2:]) != self.img_size:
            raise ValueError(
                f"pictures are of {tuple(inputs.shape[2:])}, the tokenizer is for {self.img_size}. "
                "Fix: resize them in the pipeline, or img_size of ImageTokenizer"
            )
        tokens, grid = self.patch_embed(inputs.expand(-1, self.in_channels, -1, -1))
        if self.cls_token is not None:
            tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1)
        if self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        return Tokens(self.dropout(tokens), None, {"grid": grid, "prefix": self.prefix})


def divided(size: tuple[int, ...], patch: int | tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the grid of patches in a picture or clip.

    Raises:
        ValueError: a side is no multiple of the patch's.
    """
    patches = (patch,) * len(size) if isinstance(patch, int) else patch
    if any(side % one for side, one in zip(size, patches, strict=True)):
        raise ValueError(f"{name}={size} is no multiple of the patch {patches}")
    return tuple(side // one for side, one in zip(size, patches, strict=True))
