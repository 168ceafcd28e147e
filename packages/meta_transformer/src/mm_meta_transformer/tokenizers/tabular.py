"""The tokenizer of table rows: one token per categorical column, from one embedding table for all of them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class TabularTokenizer(BaseModule):
    """Tokens of a table's rows, as the official tabular project makes them.

    The categories of all columns are rows of one embedding table; :class:`.TableCodes` numbers them. Row 0, which no
    category has, stands for values that the training data does not hold; it is zero and stays so.

    Args:
        num_codes: categories of all columns together.
        num_columns: categorical columns.
        num_continuous: continuous columns.
        embed_dims: channels.
        continuous: what becomes of the continuous columns: ``"bypass"``, they go past the encoder to the head as
            ``info["extra"]`` (official); ``"token"``, each is a token ``value * weight + bias`` of its own (ours).
        dropout: of the embeddings.
        class_token: put a trained token first.
        position: add a trained table, one row per token; the categories already tell the columns apart.
        init_cfg: as in mmengine.

    Raises:
        ValueError: there is nothing to make tokens of, or ``continuous`` is unknown.
    """

    def __init__(
        self,
        num_codes: int,
        num_columns: int,
        num_continuous: int = 0,
        embed_dims: int = 768,
        continuous: Literal["bypass", "token"] = "bypass",
        dropout: float = 0.1,
        class_token: bool = False,
        position: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if continuous not in ("bypass", "token"):
            raise ValueError(f"continuous={continuous!r} is not known. Fix: 'bypass' or 'token'")
        self.num_codes, self.num_columns, self.num_continuous = num_codes, num_columns, num_continuous
        self.as_tokens = continuous == "token" and num_continuous > 0
        count = num_columns + (num_continuous if self.as_tokens else 0)
        if count < 1:
            raise ValueError("a row without categorical columns has no tokens. Fix: continuous='token'")
        self.embed = nn.Embedding(num_codes + 1, embed_dims, padding_idx=0)
        if self.as_tokens:
            self.value_weight = nn.Parameter(torch.randn(num_continuous, embed_dims))
            self.value_bias = nn.Parameter(torch.zeros(num_continuous, embed_dims))
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dims)) if class_token else None
        self.pos_embedding = nn.Parameter(torch.randn(1, count + class_token, embed_dims)) if position else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> Tokens:
        """Return the tokens of rows.

        Args:
            inputs: ``codes`` ``(B, K)`` integers, 0 for an unseen value and up to ``num_codes``; ``values`` ``(B, V)``
                where there are continuous columns.

        Returns:
            ``K`` tokens, with ``continuous="token"`` ``K + V``, and one more with a class token. ``info["extra"]`` are
            the values that bypass the encoder.

        Raises:
            ValueError: the columns are not as many as those of the tokenizer, or a code has no row in its table.
        """
        codes, values = inputs["codes"], inputs.get("values")
        self._check(codes, values)
        tokens, info = self.embed(codes), {"prefix": 0}
        if self.as_tokens:
            tokens = torch.cat((tokens, values[..., None] * self.value_weight + self.value_bias), 1)
        elif self.num_continuous:
            info["extra"] = values
        tokens = self.dropout(tokens)
        if self.cls_token is not None:
            tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), 1)
            info["prefix"] = 1
        if self.pos_embedding is not None:
            tokens = tokens + self.pos_embedding
        return Tokens(tokens, None, info)

    def _check(self, codes: Tensor, values: Tensor | None) -> None:
        if codes.dim() != 2 or codes.shape[1] != self.num_columns:
            raise ValueError(
                f"codes are {tuple(codes.shape)}, the tokenizer reads (B, {self.num_columns}). "
                "Fix: num_columns of the tokenizer, or the columns of the data set"
            )
        found = 0 if values is None else values.shape[1]
        if found != self.num_continuous:
            raise ValueError(
                f"the rows have {found} continuous columns, the tokenizer {self.num_continuous}. "
                "Fix: num_continuous of the tokenizer, or the columns of the data set"
            )
        # On a GPU the comparison would wait for the device in every step.
        if (
            codes.device.type == "cpu"
            and codes.numel()
            and not 0 <= int(codes.min()) <= int(codes.max()) <= self.num_codes
        ):
            raise ValueError(
                f"codes reach from {int(codes.min())} to {int(codes.max())}, the table has rows for 0 to "
                f"{self.num_codes}. Fix: num_codes of the tokenizer is what TableCodes.num_codes says"
            )
