"""Official time-series checkpoints: a forecaster of ``Time-Series/models/MetaTransformer.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.forecasting.time_token_keys import DECODER_RULES, embedding_rules, time_settings
from mmrepro.key_rules import KeyRules, Rename

_VALUES = "enc_embedding.value_embedding.tokenConv.weight"
_RULES = KeyRules(
    [
        *embedding_rules("enc_embedding", "tokenizer.embedding"),
        *embedding_rules("dec_embedding", "decoder_tokenizer.embedding"),
        Rename("encoder.{i}.*", "encoder.blocks.{i}.*"),
        *DECODER_RULES,
    ]
)


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official forecaster with the shared encoder."""
    return _VALUES in state and "encoder.0.norm1.weight" in state


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    return _RULES


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that are no weights: the positions, which are computed."""
    return {key for key in state if key.endswith(".position_embedding.pe")}


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    No weight shows the lengths of windows, the heads of the decoder, or which variates are forecast: the published
    ones are taken, 96 steps in and out, 48 known ones for the decoder, 8 heads, all variates.

    Args:
        state: a complete official state dict, :func:`matches`.
    """
    ours = _RULES.known(state)
    variates = ours["tokenizer.embedding.value.weight"].shape[1]
    decoded = ours["decoder_tokenizer.embedding.value.weight"].shape[1]
    time = {"n_marks": 5} | time_settings(ours, "tokenizer.embedding")
    if time.get("embed") == "timeF":
        time["n_marks"] = ours["tokenizer.embedding.time.weight"].shape[1]
    elif time.get("freq") == "h":
        time["n_marks"] = 4
    return dict(
        type="MetaTransformerForecaster",
        enc_in=variates,
        c_out=ours["head.weight"].shape[0],
        d_layers=1 + max(int(key.split(".")[2]) for key in ours if key.startswith("decoder.layers.")),
        d_ff=ours["decoder.layers.0.ffn.fc1.bias"].shape[0],
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=arch_of(state, "encoder."),
        ),
        **({} if decoded == variates else dict(dec_in=decoded)),
        **time,
    )
