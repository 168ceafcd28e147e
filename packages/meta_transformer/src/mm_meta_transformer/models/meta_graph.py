"""A value for each graph: the official graph model (TokenGT with the shared encoder), and a repaired one."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.tokenizers.tokens import Tokens

_ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}


@MODELS.register_module()
class MetaTransformerGraphRegressor(BaseModel):
    """Tokens of a graph, normed, through the shared encoder; a head on the graph token gives one value, or several.

    The official code hands tokens as ``(T, B, C)`` to blocks that want the batch first, so attention mixes the same
    token of all graphs of a batch, and never two tokens of one graph. Since the graph token is the same in all graphs,
    its official prediction is one constant, whatever the graph. Besides, its initialiser draws the encoder again after
    the file was loaded. ``official_compat`` does both; it needs an encoder of 32 heads to be the official model.

    Args:
        tokenizer: config of a :class:`.GraphTokenizer`; its ``embed_dims`` are the encoder's unless it says otherwise.
        encoder: config of a :class:`.MetaTransformerEncoder`, or one that several models share.
        num_outputs: ``K``, values of a graph. They have one bias for all of them, as officially.
        activation: of the head, ``gelu`` or ``relu``.
        embed_norm: norm the tokens before the encoder.
        frozen_tokenizer: the tokenizer and its norm keep their random weights, as officially; else they are trained.
        official_compat: attention over the graphs of a batch, without a padding mask; and the encoder's weights are
            drawn again after they were loaded.
        data_preprocessor: config of what collates a batch; by default graphs are padded with zeros.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the activation is unknown.
    """

    def __init__(
        self,
        tokenizer: dict[str, Any],
        encoder: dict[str, Any] | nn.Module,
        num_outputs: int = 1,
        activation: Literal["gelu", "relu"] = "gelu",
        embed_norm: bool = True,
        frozen_tokenizer: bool = False,
        official_compat: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        padded = dict.fromkeys(("node_data", "edge_data", "edge_index", "lap_eigvec"), 0)
        preprocessor = data_preprocessor or dict(type="SampleDataPreprocessor", pad=padded)
        if isinstance(preprocessor, dict):
            preprocessor = MODELS.build(preprocessor)
        super().__init__(preprocessor, init_cfg)
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation={activation!r} is not known. Fix: one of {', '.join(_ACTIVATIONS)}")
        self.activation = activation
        self.encoder = encoder if isinstance(encoder, nn.Module) else MODELS.build(encoder)
        dims = self.encoder.embed_dims
        self.tokenizer = MODELS.build({"embed_dims": dims} | dict(tokenizer))
        self.embed_norm = nn.LayerNorm(dims) if embed_norm else nn.Identity()
        self.transform = nn.Linear(dims, dims)
        self.norm = nn.LayerNorm(dims)
        self.output = nn.Linear(dims, num_outputs)
        if num_outputs > 1:
            self.output.bias = nn.Parameter(torch.zeros(1))
        self.frozen_tokenizer, self.official_compat = frozen_tokenizer, official_compat
        if frozen_tokenizer:
            for part in (self.tokenizer, self.embed_norm):
                part.requires_grad_(False)

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: over what attention runs, and the head's activation."""
        return {"official_compat": self.official_compat, "activation": self.activation}

    def init_weights(self) -> None:
        """Initialise; with ``official_compat`` the encoder's weights are then drawn again."""
        super().init_weights()
        if self.official_compat:
            draw_encoder_again(self.encoder)

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[DataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[DataSample]:
        """Return values ``(B, K)``, the mean absolute error, or samples with ``pred_value``.

        It is ``()`` for one value and ``(K,)`` for several.

        Args:
            inputs: see :meth:`.GraphTokenizer.forward`.
            data_samples: with ``gt_value``, of ``pred_value``'s shape, for losses.
            mode: which of the three.

        Raises:
            ValueError: the mode is unknown, or there is nothing to compute a loss with, or another number of values.
        """
        values = self.head(self.extract_feat(inputs))
        if mode == "tensor":
            return values
        values = values.squeeze(1)  # (B, 1) -> (B,)
        if mode == "predict":
            samples = data_samples or [DataSample() for _ in values]
            for sample, value in zip(samples, values, strict=True):
                sample.set_field(value, "pred_value")
            return samples
        if mode != "loss":
            raise ValueError(f"mode={mode!r} is not known. Fix: 'tensor', 'loss' or 'predict'")
        if not data_samples or any("gt_value" not in sample for sample in data_samples):
            raise ValueError(
                "mode='loss' needs data_samples with gt_value. Fix: fields=('gt_value',) of PackMetaInputs"
            )
        wanted = torch.stack([sample.gt_value for sample in data_samples]).to(values)
        if wanted.shape != values.shape:  # l1_loss would only warn, and broadcast
            raise ValueError(
                f"gt_value has shape {tuple(wanted.shape[1:])}, the model's values {tuple(values.shape[1:])}. "
                "Fix: num_outputs of the model, as many as the data set's values of a graph; () is one value"
            )
        return {"loss": F.l1_loss(values, wanted)}

    def extract_tokens(self, inputs: dict[str, Tensor]) -> Tokens:
        """Return what the shared encoder reads: normed tokens."""
        tokens = self.tokenizer(inputs)
        return tokens._replace(tokens=self.embed_norm(tokens.tokens))

    def extract_feat(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the encoded graph tokens ``(B, C)``."""
        tokens = self.extract_tokens(inputs)
        if self.official_compat:
            return self.encoder(tokens.tokens.transpose(0, 1)).transpose(0, 1)[:, 0]
        return self.encoder(tokens.tokens, tokens.padding, last_only=1)[:, 0]

    def head(self, features: Tensor) -> Tensor:
        """Return values ``(B, K)`` of features ``(B, C)``."""
        return self.output(self.norm(_ACTIVATIONS[self.activation](self.transform(features))))


def draw_encoder_again(encoder: MetaTransformerEncoder) -> None:
    """Draw an encoder's weights as the released graph code does after it has loaded them (specification, 9.1).

    Linear layers are normal with deviation 0.02 and zero biases; norms stay as the file has them.
    """
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
