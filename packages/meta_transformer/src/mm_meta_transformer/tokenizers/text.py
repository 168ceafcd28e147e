"""Tokens of a text: one for each piece of a word (paper, section 3.2); or one for a text's feature of another model."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens
from mmrepro.forecasting.time_tokens import sinusoids


@MODELS.register_module()
class TextTokenizer(BaseModule):
    """Embedded numbers of word pieces, a linear layer (the paper's 1x1 convolution), position and class token.

    The official repository has no code for it: this is the paper's text, with a fixed sinusoid for the position.

    Args:
        embed_dims: channels ``C`` of a token.
        vocab_size: pieces that there are; 30,522 of BERT's vocabulary, 49,408 of CLIP's. The paper says 30,000.
        max_length: the context length, the most pieces that a text may have.
        class_token: put a learned token first.
        position: ``"sinusoid"`` or ``None``.
        dropout: after the sum.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the position is unknown.
    """

    def __init__(
        self,
        embed_dims: int,
        vocab_size: int = 30522,
        max_length: int = 512,
        class_token: bool = True,
        position: Literal["sinusoid"] | None = "sinusoid",
        dropout: float = 0.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="TruncNormal", layer=["Embedding", "Linear"], std=0.02))
        if position not in ("sinusoid", None):
            raise ValueError(f"position={position!r} is not known. Fix: 'sinusoid' or None")
        self.max_length, self.vocab_size = max_length, vocab_size
        self.invisible_settings = {"position": position}  # the table is not stored
        self.embedding = nn.Embedding(vocab_size, embed_dims)
        self.projection = nn.Linear(embed_dims, embed_dims)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims)) if class_token else None
        table = sinusoids(max_length + class_token, embed_dims) if position else None
        self.register_buffer("position", table, persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> Tokens:
        """Return ``(B, N, C)`` tokens, or one more with a class token.

        Args:
            inputs: ``ids`` ``(B, N)``, numbers of pieces, and ``padding`` ``(B, N)`` bool where texts are padded.

        Raises:
            ValueError: the texts are longer than the context, or a number is not in the table.
        """
        ids, padding = inputs["ids"], inputs.get("padding")
        if ids.shape[1] > self.max_length:
            raise ValueError(
                f"a text has {ids.shape[1]} pieces, the context {self.max_length}. "
                "Fix: max_length of the data set, which cuts and counts them, or max_length of TextTokenizer"
            )
        # On a GPU the comparison would wait for the device in every step.
        if ids.device.type == "cpu" and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise ValueError(
                f"numbers of pieces reach from {int(ids.min())} to {int(ids.max())}, the table has rows for 0 to "
                f"{self.vocab_size - 1}. Fix: vocab_size of TextTokenizer is as many pieces as the vocabulary has"
            )
        tokens = self.projection(self.embedding(ids))
        prefix = int(self.cls_token is not None)
        if prefix:
            tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1)
            padding = None if padding is None else F.pad(padding, (1, 0), value=False)
        if self.position is not None:
            tokens = tokens + self.position[: tokens.shape[1]].to(tokens.dtype)
        return Tokens(self.dropout(tokens), padding, {"prefix": prefix})


@MODELS.register_module()
class TextFeatureTokenizer(BaseModule):
    """One token for a text: its feature by another model (CLIP's of 512 channels), filled up with zeros.

    This is what the official ``get_text_embeddings`` returns; it has no parameters.

    Args:
        embed_dims: channels ``C`` of a token.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.embed_dims = embed_dims

    def forward(self, inputs: Tensor) -> Tokens:
        """Return ``(B, 1, C)`` for features ``(B, K)``.

        Raises:
            ValueError: the features are wider than a token.
        """
        width = inputs.shape[-1]
        if width > self.embed_dims:
            raise ValueError(f"features have {width} channels, tokens {self.embed_dims}. Fix: a wider encoder")
        return Tokens(F.pad(inputs, (0, self.embed_dims - width))[:, None], None, {"prefix": 0})
