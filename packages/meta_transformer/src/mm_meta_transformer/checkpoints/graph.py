"""Official graph checkpoints: TokenGT with the shared encoder.

Two of its parts hold parameters that nothing reads: a norm after the encoder and a pooler. They are left out, and are
zeros on the way back, for the official code loads strictly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmrepro.key_rules import Drop, KeyRules, Rename

_BODY = "encoder.graph_encoder"
_FEATURE = f"{_BODY}.graph_feature"
_UNUSED = re.compile(rf"{re.escape(_BODY)}\.final_layer_norm\..+|encoder\.masked_lm_pooler\..+")
_HEAD_CHANNELS = 24  # the official model has 32 heads at 768 channels


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of the official graph model."""
    return any(key.startswith(f"{_FEATURE}.") for key in state)


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules; they are the same for every state dict."""
    return KeyRules(
        [
            Drop(f"{_BODY}.final_layer_norm.*", "the official code does not call it", _final_norm),
            Drop("encoder.masked_lm_pooler.*", "the official code does not call it", _pooler),
            Rename(f"{_FEATURE}.*", "tokenizer.*"),
            Rename(f"{_BODY}.emb_layer_norm.*", "embed_norm.*"),
            Rename(f"{_BODY}.layers.*", "encoder.blocks.*"),
            Rename("encoder.lm_head_transform_weight.*", "transform.*"),
            Rename("encoder.layer_norm.*", "norm.*"),
            Rename("encoder.embed_out.weight", "output.weight"),
            Rename("encoder.lm_output_learned_bias", "output.bias"),
        ]
    )


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    Args:
        state: a complete official state dict, :func:`matches`.
    """
    dims = state[f"{_BODY}.emb_layer_norm.weight"].shape[0]
    depth = 1 + max(int(key.split(".")[3]) for key in state if key.startswith(f"{_BODY}.layers."))
    widths = {kind: state.get(f"{_FEATURE}.{kind}_encoder.weight") for kind in ("lap", "orf", "rand")}
    return dict(
        type="MetaTransformerGraphRegressor",
        tokenizer=dict(
            type="GraphTokenizer",
            num_atoms=state[f"{_FEATURE}.atom_encoder.weight"].shape[0],
            num_edges=state[f"{_FEATURE}.edge_encoder.weight"].shape[0],
            type_id=f"{_FEATURE}.order_encoder.weight" in state,
            depth=depth,
            **{f"{kind}_dims": 0 if table is None else table.shape[1] // 2 for kind, table in widths.items()},
        ),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=dict(embed_dims=dims, depth=depth, num_heads=max(1, dims // _HEAD_CHANNELS)),
        ),
        frozen_tokenizer=True,
        official_compat=True,
    )


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that nothing reads."""
    return {key for key in state if _UNUSED.fullmatch(key)}


def _final_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norm = state[f"{_BODY}.emb_layer_norm.weight"]
    return {f"{_BODY}.final_layer_norm.{name}": norm.new_zeros(norm.shape) for name in ("weight", "bias")}


def _pooler(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norm = state[f"{_BODY}.emb_layer_norm.weight"]
    dims = len(norm)
    return {
        "encoder.masked_lm_pooler.weight": norm.new_zeros(dims, dims),
        "encoder.masked_lm_pooler.bias": norm.new_zeros(dims),
    }
