"""The released encoder files: blocks of a ViT under their numbers, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmrepro.key_rules import KeyRules, Rename

HEAD_CHANNELS = 64
_KEY = re.compile(r"\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)")
_RULES = KeyRules([Rename("{i}.*", "blocks.{i}.*")])


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official encoder file."""
    return bool(state) and all(_KEY.fullmatch(key) for key in state)


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the encoder that an official state dict belongs to."""
    biases = {} if "0.attn.qkv.bias" in state else dict(qkv="none")
    return dict(type="MetaTransformerEncoder", arch=arch_of(state, ""), **biases)


def arch_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, int | float]:
    """Return the sizes of the blocks under ``<prefix><number>.``, whose heads have 64 channels each.

    ``mlp_ratio`` is among them where it is not the published 4.

    Args:
        state: an official state dict.
        prefix: ends with a dot, or is empty.

    Raises:
        KeyError: the first block has no ``norm1.weight``.
    """
    dims = state[f"{prefix}0.norm1.weight"].shape[0]
    found = re.compile(rf"{re.escape(prefix)}(\d+)\.")
    depth = 1 + max(int(match.group(1)) for match in map(found.match, state) if match)
    sizes = dict(embed_dims=dims, depth=depth, num_heads=max(1, dims // HEAD_CHANNELS))
    hidden = state.get(f"{prefix}0.mlp.fc1.weight")
    ratio = 4 if hidden is None else hidden.shape[0] / dims
    return sizes if ratio == 4 else sizes | dict(mlp_ratio=ratio)
