"""The tokenizer of hyperspectral pixels: one token per spectral band."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class HyperspectralTokenizer(BaseModule):
    """A class token and one token per band, as the official hyperspectral project makes them.

    Args:
        num_bands: spectral bands of a pixel.
        in_channels: values of a band: ``p * p * b`` for a patch of ``p`` times ``p`` pixels and ``b`` bands.
        embed_dims: channels.
        dropout: of the tokens, after the position is added.
        class_token: put a trained token first.
        position: add a trained table, one row per token.
        init_cfg: as in mmengine.
    """

    def __init__(
        self,
        num_bands: int = 200,
        in_channels: int = 1,
        embed_dims: int = 768,
        dropout: float = 0.1,
        class_token: bool = True,
        position: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_bands, self.in_channels = num_bands, in_channels
        self.pos_embedding = nn.Parameter(torch.randn(1, num_bands + class_token, embed_dims)) if position else None
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dims)) if class_token else None
        self.patch_to_embedding = nn.Linear(in_channels, embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tokens:
        """Return the tokens of pixels.

        Args:
            inputs: ``(B, bands, p * p * b)``, scaled as :class:`.HyperspectralDataset` does it.

        Returns:
            ``(B, bands, C)`` tokens, with the class token before them.

        Raises:
            ValueError: the pixels have another number of bands or of values than the tokenizer: a band's place tells
                its wavelength, so no band may be left out or put in.
        """
        if inputs.dim() != 3 or tuple(inputs.shape[1:]) != (self.num_bands, self.in_channels):
            raise ValueError(
                f"pixels are {tuple(inputs.shape)}, the tokenizer reads (B, {self.num_bands}, {self.in_channels}): "
                "bands, and values of a band. Fix: num_bands and in_channels (patch_size ** 2 * near_bands) of the "
                "tokenizer, or select the bands that the model was trained on"
            )
        tokens, prefix = self.patch_to_embedding(inputs), 0
        if self.cls_token is not None:
            tokens, prefix = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1), 1
        if self.pos_embedding is not None:
            tokens = tokens + self.pos_embedding
        return Tokens(self.dropout(tokens), None, {"prefix": prefix})
