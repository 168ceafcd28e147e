"""Official models of pictures: the X-ray model, and the plain ViTs of the files ``Image_Meta-Transformer_*``.

Both are the same network (the second one's layout is not documented: a file of another one is refused with its keys).
Whether the encoder was frozen shows in no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_NEEDED = {"cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight", "head.weight"}
_RULES = KeyRules(
    [
        Rename("cls_token", "tokenizer.cls_token"),
        Rename("pos_embed", "tokenizer.pos_embed"),
        Rename("patch_embed.*", "tokenizer.patch_embed.*"),
        Rename("blocks.{i}.*", "encoder.blocks.{i}.*"),
        Rename("norm.*", "encoder_norm.*"),
        Rename("head.*", "head.fc.*"),
    ]
)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of a plain ViT with a class token, a last norm and a head."""
    return state.keys() >= _NEEDED


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to."""
    _, channels, patch, _ = state["patch_embed.proj.weight"].shape
    side = patch * isqrt(state["pos_embed"].shape[1] - 1)
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(type="ImageTokenizer", img_size=side, patch_size=patch, in_channels=channels),
        encoder=dict(type="MetaTransformerEncoder", arch=arch_of(state, "blocks.")),
        pooling="cls",
        encoder_norm=1e-6,
        head=dict(type="MetaLinearHead", num_classes=state["head.weight"].shape[0]),
    )
