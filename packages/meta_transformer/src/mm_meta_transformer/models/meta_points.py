"""Point clouds through the shared encoder: classified as a whole, or point by point (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier
from mm_meta_transformer.models.point_layers import global_features
from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class MetaTransformerPointCls(MetaTransformerClassifier):
    """Summaries of a cloud's encoded tokens, side by side, then a head.

    Args:
        tokenizer: config of a :class:`.PointPatchTokenizer` or a :class:`.P3Tokenizer`.
        encoder: config of a :class:`.MetaTransformerEncoder`, or one that several models share.
        head: config of a :class:`.PointClsHead`; its ``in_channels`` follow from the rest.
        global_features: of ``"cls"``, ``"max"`` and ``"avg"``, in this order; the last two are of all tokens but the
            class token.
        encoder_norm: epsilon of the norm of encoded tokens.
        official_compat: the encoder's weights are drawn again after they were loaded, as the released code does: its
            "frozen Meta-Transformer" for points is a random one.
        data_preprocessor, init_cfg: as of :class:`.MetaTransformerClassifier`.

    Raises:
        ValueError: the class token is to be a summary, and the tokenizer has none.
    """

    def __init__(
        self,
        tokenizer: dict[str, Any],
        encoder: dict[str, Any] | nn.Module,
        head: dict[str, Any],
        global_features: Sequence[str] = ("cls", "max", "avg"),
        encoder_norm: float = 1e-6,
        official_compat: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        encoder = encoder if isinstance(encoder, nn.Module) else MODELS.build(encoder)
        head = {"in_channels": len(global_features) * encoder.embed_dims} | dict(head)
        super().__init__(
            tokenizer, encoder, head, encoder_norm=encoder_norm, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        self.pooling, self.official_compat = ",".join(global_features), official_compat
        _need_class_token(self.tokenizer, global_features)

    def init_weights(self) -> None:
        """Initialise; with ``official_compat`` the encoder's weights are then drawn again."""
        super().init_weights()
        if self.official_compat:
            draw_again(self.encoder)

    def pooled(self, tokens: Tokens) -> Tensor:
        """Return the summaries ``(B, channels)`` of tokens."""
        encoded = self.encode(tokens)
        content = encoded[:, tokens.info["prefix"] :].transpose(1, 2)
        return global_features(content, tuple(self.pooling.split(",")), encoded[:, 0])


@MODELS.register_module()
class MetaTransformerPointSeg(BaseModel):
    """A class for every point: a scene's, or with categories the part of an object.

    Args:
        tokenizer: config of a :class:`.P3Tokenizer`.
        encoder: config of a :class:`.MetaTransformerEncoder`, or one that several models share.
        decoder: config of a :class:`.PointDecoder`; its ``embed_dims`` and ``skip_channels`` are the tokenizer's unless
            it says otherwise.
        head: config of a :class:`.PointSegHead`; its ``in_channels`` are the decoder's.
        encoder_norm: epsilon of the norm of encoded tokens.
        parts: with categories, the labels that each kind of object can have: predictions are among them.
        official_compat: as of :class:`MetaTransformerPointCls`.
        data_preprocessor: config of what collates a batch; :class:`.SampleDataPreprocessor` by default.
        init_cfg: as in mmengine.

    Raises:
        ValueError: the class token is to be a summary, and the tokenizer has none.
    """

    def __init__(
        self,
        tokenizer: dict[str, Any],
        encoder: dict[str, Any] | nn.Module,
        decoder: dict[str, Any],
        head: dict[str, Any],
        encoder_norm: float = 1e-6,
        parts: Sequence[Sequence[int]] | None = None,
        official_compat: bool = False,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        preprocessor = data_preprocessor or dict(type="SampleDataPreprocessor")
        super().__init__(MODELS.build(preprocessor) if isinstance(preprocessor, dict) else preprocessor, init_cfg)
        self.encoder = encoder if isinstance(encoder, nn.Module) else MODELS.build(encoder)
        dims = self.encoder.embed_dims
        self.tokenizer = MODELS.build({"embed_dims": dims} | dict(tokenizer))
        self.encoder_norm = nn.LayerNorm(dims, eps=encoder_norm)
        skips = (self.tokenizer.in_channels, *self.tokenizer.channels[:-1])
        self.decoder = MODELS.build({"embed_dims": dims, "skip_channels": skips} | dict(decoder))
        self.head = MODELS.build({"in_channels": self.decoder.out_channels} | dict(head))
        self.pooling, self.official_compat = ",".join(self.decoder.global_features), official_compat
        self.parts = parts
        _need_class_token(self.tokenizer, self.decoder.global_features)

    @property
    def invisible_settings(self) -> dict[str, Any]:
        """What no weight shows: the epsilon of the norm."""
        return {"encoder_norm": self.encoder_norm.eps}

    def init_weights(self) -> None:
        """Initialise; with ``official_compat`` the encoder's weights are then drawn again."""
        super().init_weights()
        if self.official_compat:
            draw_again(self.encoder)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: list[DataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[DataSample]:
        """Return logits ``(B, K, N)``, losses, or samples with ``pred_points`` ``(N,)``.

        Args:
            inputs: ``points (B, N, 3)``, ``features (B, N, C)``, for parts ``category (B,)``. To predict, also the
                parts of one cloud in turn, see :meth:`predict`.
            data_samples: with ``gt_points`` for losses.
            mode: which of the three.

        Raises:
            ValueError: the mode is unknown, or there is nothing to compute losses with.
        """
        if mode == "tensor":
            return self.head(self.extract_feat(inputs))
        if mode == "loss":
            if data_samples is None:
                raise ValueError("mode='loss' needs data_samples with gt_points. Fix: fields of PackMetaInputs")
            return self.head.loss(self.extract_feat(inputs), data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not known. Fix: 'tensor', 'loss' or 'predict'")

    def predict(self, inputs: Mapping[str, Tensor], data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return samples with ``pred_points`` ``(N,)`` int64.

        A cloud that is too dense comes as P parts (:class:`.VoxelParts`): ``points (B, P, M, 3)``, ``features`` alike
        and ``index (B, P, M)``, the points of the whole cloud that they are. Parts are predicted one by one, and a
        point's logits averaged. Its ``category`` is that of every part.
        """
        if inputs["points"].dim() == 4:
            clouds = ({key: value[at] for key, value in inputs.items()} for at in range(len(inputs["points"])))
            logits = [self._by_parts(cloud) for cloud in clouds]
        else:
            logits = list(self(inputs))
        if self.parts is not None:
            kinds = inputs["category"].flatten().tolist()
            logits = [self._among_parts(one, kind) for one, kind in zip(logits, kinds, strict=True)]
        samples = data_samples or [DataSample() for _ in logits]
        for sample, one in zip(samples, logits, strict=True):
            sample.set_field(one.argmax(0), "pred_points")
        return samples

    def extract_tokens(self, inputs: Mapping[str, Tensor]) -> Tokens:
        """Return what the shared encoder reads."""
        return self.tokenizer(inputs)

    def encode(self, tokens: Tokens) -> Tensor:
        """Return encoded, normed tokens ``(B, [1 +] M, C)``."""
        return self.encoder_norm(self.encoder(tokens.tokens, position=tokens.info.get("position")))

    def extract_feat(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the features of every point ``(B, C, N)``."""
        tokens = self.extract_tokens(inputs)
        info, encoded = tokens.info, self.encode(tokens)
        return self.decoder(info["levels"], info["centres"], encoded, inputs.get("category"), info["prefix"])

    def _among_parts(self, logits: Tensor, kind: int) -> Tensor:
        """Return logits ``(K, N)`` without those of parts that a kind of object has not."""
        others = [label for label in range(len(logits)) if label not in self.parts[kind]]
        return logits.index_fill(0, torch.tensor(others, device=logits.device), -torch.inf)

    def _by_parts(self, cloud: Mapping[str, Tensor]) -> Tensor:
        """Return mean logits ``(K, N)`` of a cloud of parts."""
        index = cloud["index"]
        kind = {"category": cloud["category"].reshape(1)} if "category" in cloud else {}
        total, count = None, torch.zeros(int(index.max()) + 1, device=index.device)
        for points, features, rows in zip(cloud["points"], cloud["features"], index, strict=True):
            logits = self({"points": points[None], "features": features[None], **kind})[0]
            if total is None:
                # logits of an autocast are too short for a sum of many
                total = logits.new_zeros(len(logits), len(count), dtype=torch.float32)
            total.index_add_(1, rows, logits.float())
            count.index_add_(0, rows, torch.ones_like(rows, dtype=count.dtype))
        return total / count


def _need_class_token(tokenizer: nn.Module, kinds: Sequence[str]) -> None:
    if "cls" in kinds and tokenizer.cls_token is None:
        raise ValueError(
            f"global_features={tuple(kinds)} need a class token, the tokenizer makes none. "
            "Fix: class_token=True of the tokenizer, or global_features without 'cls'"
        )


def draw_again(encoder: MetaTransformerEncoder) -> None:
    """Draw an encoder's weights as the released point cloud code does, after it has loaded them.

    Linear layers are Xavier uniform with zero biases, norms are the identity.
    """
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
