"""Official hyperspectral checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_RULES = KeyRules(
    [
        Rename("pos_embedding", "tokenizer.pos_embedding"),
        Rename("cls_token", "tokenizer.cls_token"),
        Rename("patch_to_embedding.*", "tokenizer.patch_to_embedding.*"),
        Rename("transformer.{i}.*", "encoder.blocks.{i}.*"),
        Rename("mlp_head.0.*", "pooled_norm.*"),
        Rename("mlp_head.1.*", "head.fc.*"),
    ]
)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official hyperspectral model."""
    return "patch_to_embedding.weight" in state


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    Args:
        state: a complete official state dict, :func:`matches`.
    """
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(
            type="HyperspectralTokenizer",
            num_bands=state["pos_embedding"].shape[1] - 1,
            in_channels=state["patch_to_embedding.weight"].shape[1],
        ),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=arch_of(state, "transformer."),
        ),
        pooling="cls",
        pooled_norm=1e-5,
        head=dict(type="MetaLinearHead", num_classes=state["mlp_head.1.weight"].shape[0]),
    )
