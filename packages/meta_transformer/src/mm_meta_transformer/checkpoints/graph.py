"""Official graph checkpoints: TokenGT with the shared encoder.

Two of its parts hold parameters that nothing reads: a norm after the encoder and a pooler. They are left out, and are
zeros on the way back, for the official code loads strictly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import gcd
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import Drop, KeyRules, Rename

_BODY = "encoder.graph_encoder"
_FEATURE = f"{_BODY}.graph_feature"
_NORM = "encoder.layer_norm.weight"  # of the head: every model has it
_UNUSED = re.compile(rf"{re.escape(_BODY)}\.final_layer_norm\..+|encoder\.masked_lm_pooler\..+")
_HEADS = 32  # of the official model, whatever its width


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
    arch = arch_of(state, f"{_BODY}.layers.")
    widths = {kind: state.get(f"{_FEATURE}.{kind}_encoder.weight") for kind in ("lap", "orf", "rand")}
    return dict(
        type="MetaTransformerGraphRegressor",
        tokenizer=dict(
            type="GraphTokenizer",
            num_atoms=state[f"{_FEATURE}.atom_encoder.weight"].shape[0],
            num_edges=state[f"{_FEATURE}.edge_encoder.weight"].shape[0],
            type_id=f"{_FEATURE}.order_encoder.weight" in state,
            depth=arch["depth"],
            **{f"{kind}_dims": 0 if table is None else table.shape[1] // 2 for kind, table in widths.items()},
        ),
        encoder=dict(type="MetaTransformerEncoder", arch=arch | dict(num_heads=gcd(arch["embed_dims"], _HEADS))),
        num_outputs=state["encoder.embed_out.weight"].shape[0],
        embed_norm=f"{_BODY}.emb_layer_norm.weight" in state,
        frozen_tokenizer=True,
        official_compat=True,
    )


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that nothing reads."""
    return {key for key in state if _UNUSED.fullmatch(key)}


def _final_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norm = state[_NORM]
    return {f"{_BODY}.final_layer_norm.{name}": norm.new_zeros(norm.shape) for name in ("weight", "bias")}


def _pooler(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norm = state[_NORM]
    dims = len(norm)
    return {
        "encoder.masked_lm_pooler.weight": norm.new_zeros(dims, dims),
        "encoder.masked_lm_pooler.bias": norm.new_zeros(dims),
    }
