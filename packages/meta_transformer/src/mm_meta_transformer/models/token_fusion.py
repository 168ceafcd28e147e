"""One feature of all modalities of a sample, by one pass of their joined tokens through the shared encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.join_tokens import join_tokens
from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class TokenFusion(BaseModule):
    """Tokens of all modalities that a sample has, encoded as one sequence and pooled.

    As :func:`.join_tokens` shows, tokens of different modalities attend to each other. What a sample lacks changes
    nothing: it is padding. A modality of more tokens weighs more in the mean.

    Args:
        embed_dims: channels of a token.
        pooling: ``"mean"``, of all encoded tokens but padding and class tokens; ``"cls"``, a class token of the fusion,
            which comes first.
        modality_embedding: modalities whose tokens get a trained vector added, so that the encoder can tell them apart;
            none by default, as in the official demo.
        encoder_norm: epsilon of a norm of every encoded token; ``None`` for no such norm.
        pooled_norm: epsilon of a norm of the pooled feature; ``None`` for no such norm.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the pooling is unknown.
    """

    def __init__(
        self,
        embed_dims: int,
        pooling: Literal["mean", "cls"] = "mean",
        modality_embedding: Sequence[str] = (),
        encoder_norm: float | None = None,
        pooled_norm: float | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if pooling not in ("mean", "cls"):
            raise ValueError(f"pooling={pooling!r} of the fusion is not known. Fix: 'mean' or 'cls'")
        self.pooling = pooling
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, embed_dims)) if pooling == "cls" else None
        self.modality_embedding = nn.ParameterDict(
            {modality: nn.Parameter(0.02 * torch.randn(embed_dims)) for modality in modality_embedding}
        )
        self.encoder_norm = nn.Identity() if encoder_norm is None else nn.LayerNorm(embed_dims, eps=encoder_norm)
        self.pooled_norm = nn.Identity() if pooled_norm is None else nn.LayerNorm(embed_dims, eps=pooled_norm)

    def forward(
        self, encoder: nn.Module, parts: Mapping[str, Tokens], rows: Mapping[str, Tensor], count: int
    ) -> Tensor:
        """Return features ``(B, C)``.

        Args:
            encoder: the shared one.
            parts: by modality, the tokens of the samples that have it.
            rows: by modality, which samples these are, ``(b,)``.
            count: number of samples.
        """
        sequence = join_tokens({name: self._marked(name, part) for name, part in parts.items()}, rows, count)
        if self.cls_token is not None:
            first = Tokens(self.cls_token.expand(count, -1, -1), None, {})
            sequence = join_tokens({"class token": first, "all": sequence})
        only = None if self.cls_token is None else 1
        encoded = encoder(sequence.tokens, sequence.padding, sequence.info.get("position"), only)
        return self.pooled_norm(self._pooled(self.encoder_norm(encoded), sequence))

    def _marked(self, modality: str, part: Tokens) -> Tokens:
        if modality not in self.modality_embedding:
            return part
        return part._replace(tokens=part.tokens + self.modality_embedding[modality])

    def _pooled(self, encoded: Tensor, sequence: Tokens) -> Tensor:
        if self.cls_token is not None:
            return encoded[:, 0]
        content = sequence.info["content"]
        if sequence.padding is None:
            return encoded[:, content].mean(1)
        kept = (content & ~sequence.padding)[..., None]
        return encoded.masked_fill(~kept, 0).sum(1) / kept.sum(1)
