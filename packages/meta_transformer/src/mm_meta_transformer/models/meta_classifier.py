"""A classifier for any modality: its tokenizer, the shared encoder, a pooling and a head (paper, section 3.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer.models.pooling import POOLINGS, needed_tokens, pool
from mm_meta_transformer.tokenizers.tokens import Tokens

Inputs = Tensor | dict[str, Tensor]


@MODELS.register_module()
class MetaTransformerClassifier(BaseModel):
    """Tokens of a sample through the shared encoder, pooled and classified.

    Args:
        tokenizer: config of a tokenizer; its ``embed_dims`` are the encoder's unless it says otherwise.
        encoder: config of a :class:`.MetaTransformerEncoder`, or one that several models share.
        head: config of a :class:`.MetaLinearHead`; its ``in_channels`` are the encoder's unless it says otherwise.
        pooling: see :func:`.pool`.
        encoder_norm: epsilon of a norm of every encoded token; ``None`` for no such norm.
        pooled_norm: epsilon of a norm of the pooled feature; ``None`` for no such norm.
        frozen: beginnings of the names of further parameters that are not trained, ``"encoder_norm."`` for example; a
            frozen encoder is that without being named.
        data_preprocessor: config of what collates a batch; :class:`.SampleDataPreprocessor` by default.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the pooling is unknown, or no parameter has a name that is frozen.
    """

    def __init__(
        self,
        tokenizer: dict[str, Any],
        encoder: dict[str, Any] | nn.Module,
        head: dict[str, Any],
        pooling: Literal["cls", "mean", "first2", "flatten"] = "cls",
        encoder_norm: float | None = None,
        pooled_norm: float | None = None,
        frozen: Sequence[str] = (),
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        preprocessor = data_preprocessor or dict(type="SampleDataPreprocessor")
        if isinstance(preprocessor, dict):
            preprocessor = MODELS.build(preprocessor)
        super().__init__(preprocessor, init_cfg)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r} is not known. Fix: one of {', '.join(POOLINGS)}")
        encoder = encoder if isinstance(encoder, nn.Module) else MODELS.build(encoder)
        dims = encoder.embed_dims
        self.tokenizer = MODELS.build({"embed_dims": dims} | dict(tokenizer))
        self.encoder = encoder
        self.pooling = pooling
        self.encoder_norm = nn.Identity() if encoder_norm is None else nn.LayerNorm(dims, eps=encoder_norm)
        self.pooled_norm = nn.Identity() if pooled_norm is None else nn.LayerNorm(dims, eps=pooled_norm)
        self.head = MODELS.build({"in_channels": dims} | dict(head))
        for beginning in frozen:
            parameters = [value for name, value in self.named_parameters() if name.startswith(beginning)]
            if not parameters:
                raise ValueError(f"frozen={beginning!r}: no parameter's name begins so. Fix: see named_parameters()")
            for parameter in parameters:
                parameter.requires_grad_(False)

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: the epsilon of each norm that there is."""
        norms = {"encoder_norm": self.encoder_norm, "pooled_norm": self.pooled_norm}
        return {name: norm.eps for name, norm in norms.items() if isinstance(norm, nn.LayerNorm)}

    def forward(
        self,
        inputs: Inputs,
        data_samples: list[DataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[DataSample]:
        """Return logits ``(B, K)``, losses, or samples with ``pred_score`` and ``pred_label``.

        Args:
            inputs: what the tokenizer reads, the batch first.
            data_samples: with ``gt_label`` or ``gt_score`` for losses.
            mode: which of the three.

        Raises:
            ValueError: the mode is unknown, or there is nothing to compute losses with.
        """
        if mode == "tensor":
            return self.head(self.extract_feat(inputs))
        if mode == "loss":
            if data_samples is None:
                raise ValueError("mode='loss' needs data_samples with gt_label")
            return self.head.loss(self.extract_feat(inputs), data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not known. Fix: 'tensor', 'loss' or 'predict'")

    def predict(self, inputs: Inputs, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with ``pred_score`` and ``pred_label``."""
        return self.head.predict(self.extract_feat(inputs), data_samples)

    def extract_tokens(self, inputs: Inputs) -> Tokens:
        """Return what the shared encoder reads."""
        return self.tokenizer(inputs)

    def encode(self, tokens: Tokens, last_only: int | None = None) -> Tensor:
        """Return encoded tokens ``(B, N, C)``, normed where the model has an ``encoder_norm``.

        Args:
            tokens: of :meth:`extract_tokens`.
            last_only: how many leading tokens are wanted; ``None`` for all.
        """
        encoded = self.encoder(tokens.tokens, tokens.padding, tokens.info.get("position"), last_only)
        return self.encoder_norm(encoded)

    def extract_feat(self, inputs: Inputs) -> Tensor:
        """Return pooled features ``(B, C)``, with ``info["extra"]`` of the tokenizer behind them where it has that."""
        return self.pooled(self.extract_tokens(inputs))

    def pooled(self, tokens: Tokens) -> Tensor:
        """Return what :meth:`extract_feat` does, for tokens."""
        encoded = self.encode(tokens, needed_tokens(self.pooling))
        feature = self.pooled_norm(pool(encoded, tokens.padding, tokens.info.get("prefix", 0), self.pooling))
        extra = tokens.info.get("extra")
        return feature if extra is None else torch.cat((feature, extra.to(feature)), 1)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Return a parameter's depth and the number of depths, as mmpretrain's layer-wise learning rates ask.

        Args:
            param_name: the parameter's full name.
            prefix: of the names of this model's parameters.
        """
        name, depths = param_name.removeprefix(prefix), len(self.encoder.blocks) + 2
        if name.startswith("tokenizer."):
            return 0, depths
        found = re.match(r"encoder\.blocks\.(\d+)\.", name)
        return (int(found[1]) + 1 if found else depths - 1), depths
