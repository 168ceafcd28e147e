"""The official video model, whose attention has biases for queries and values alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_RULES = KeyRules(
    [
        Rename("patch_embed.*", "tokenizer.patch_embed.*"),
        Rename("blocks.{i}.*", "encoder.blocks.{i}.*"),
        Rename("fc_norm.*", "pooled_norm.*"),
        Rename("head.*", "head.fc.*"),
    ]
)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of the official video model."""
    return state.keys() >= {"patch_embed.proj.weight", "blocks.0.attn.q_bias", "fc_norm.weight"}


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    Positions are computed, so the clips' length and size show in no weight: they are the published ones.
    """
    _, channels, tubelet, patch, _ = state["patch_embed.proj.weight"].shape
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(type="VideoTokenizer", patch_size=patch, tubelet_size=tubelet, in_channels=channels),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=arch_of(state, "blocks."),
            frozen=False,
            norm_eps=1e-6,
            qkv="video",
        ),
        pooling="mean",
        pooled_norm=1e-6,
        head=dict(type="MetaLinearHead", num_classes=state["head.weight"].shape[0]),
    )
