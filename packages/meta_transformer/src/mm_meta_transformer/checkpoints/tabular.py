"""Official tabular checkpoints: a widedeep model whose encoder is the shared one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_EMBED = "deeptabular.0.cat_and_cont_embed.cat_embed.embed.weight"
_MLP = re.compile(r"deeptabular\.0\.\w*mlp\.")
_RULES = KeyRules(
    [
        Rename(_EMBED, "tokenizer.embed.weight"),
        Rename("deeptabular.0.encoder.{i}.*", "encoder.blocks.{i}.*"),
        Rename("deeptabular.1.*", "head.fc.*"),
    ]
)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official tabular model."""
    return _EMBED in state


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    The head reads all tokens and then the continuous values; there are taken to be fewer of these than channels.

    Args:
        state: a complete official state dict, :func:`matches`.

    Raises:
        ValueError: the model has an MLP between the tokens and the last layer.
    """
    if any(_MLP.match(key) for key in state):
        raise ValueError("mlp_hidden_dims put an MLP before the last layer. Fix: a model without one, as published")
    rows, dims = state[_EMBED].shape
    classes, features = state["deeptabular.1.weight"].shape
    columns, continuous = divmod(features, dims)
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(type="TabularTokenizer", num_codes=rows - 1, num_columns=columns, num_continuous=continuous),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=arch_of(state, "deeptabular.0.encoder."),
        ),
        pooling="flatten",
        head=dict(type="MetaLinearHead", num_classes=classes, in_channels=features),
    )
