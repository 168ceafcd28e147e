"""Official checkpoints of Transformer, Informer, Flowformer, Flashformer and Reformer to ours and back.

Official files: a bare state dict of model/<name>.py of thuml/iTransformer @ c2426e6. Transformer, Flowformer and
Flashformer have the same weights, so a file does not say which of them it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mm_itransformer.encoder_checkpoint import ENCODER_RULES, ENCODER_WITNESSES, heads_of, require_positive, sizes
from mm_itransformer.models.temporal import TemporalReformer, TemporalTransformer
from mmrepro.checkpoint import KeyRules, Rename
from mmrepro.forecasting.time_token_keys import DECODER_RULES, embedding_rules, time_settings

TRANSFORMER_RULES = KeyRules(
    (
        *embedding_rules("enc_embedding", "embedding"),
        *embedding_rules("dec_embedding", "decoder_embedding"),
        *ENCODER_RULES,
        Rename("encoder.conv_layers.{i}.downConv.*", "backbone.distilling.{i}.conv.*"),
        Rename("encoder.conv_layers.{i}.norm.*", "backbone.distilling.{i}.norm.*"),
        *DECODER_RULES,
    )
)
# On the way back the first rule for a key counts: what LSH attention calls otherwise comes before the encoder's.
REFORMER_RULES = KeyRules(
    (
        *embedding_rules("enc_embedding", "embedding"),
        Rename("encoder.attn_layers.{i}.attention.attn.toqk.*", "backbone.layers.{i}.attn.qk.*"),
        Rename("encoder.attn_layers.{i}.attention.attn.tov.*", "backbone.layers.{i}.attn.v.*"),
        Rename("encoder.attn_layers.{i}.attention.attn.to_out.*", "backbone.layers.{i}.attn.proj.*"),
        *ENCODER_RULES,
        Rename("projection.*", "head.*"),
    )
)

# Keys that no inverted model has, in the official layout and in ours
_MARKERS = (
    "enc_embedding.value_embedding.tokenConv.",
    "enc_embedding.position_embedding.",
    "enc_embedding.temporal_embedding.",
    "dec_embedding.",
    "encoder.conv_layers.",
    "embedding.value.",
    "embedding.time.",
    "decoder_embedding.",
    "backbone.distilling.",
    "decoder.",
)
_WITNESSES = {
    "enc_in": {"embedding.value.weight": 1, "decoder_embedding.value.weight": 1},
    "c_out": {"head.weight": 0, "head.bias": 0},
    "d_model": {
        "embedding.value.weight": 0,
        "decoder_embedding.value.weight": 0,
        "backbone.norm.weight": 0,
        "backbone.norm.bias": 0,
        "head.weight": 1,
    },
    "d_ff": ENCODER_WITNESSES["d_ff"],
    "n_marks": {"embedding.time.weight": 1, "decoder_embedding.time.weight": 1},
    "inner": ENCODER_WITNESSES["inner"],
}
_DECODER_LAYER = re.compile(r"decoder\.layers\.(\d+)\.")


def is_baseline(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict, in either layout, is of a model over time tokens (wrappers already stripped)."""
    return any(key.startswith(_MARKERS) for key in state)


def rules_of(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules that convert a state dict of either layout, to the other: Reformer's, or those of all others."""
    return REFORMER_RULES if _is_reformer(state) else TRANSFORMER_RULES


def infer_config(state: Mapping[str, Tensor], *, n_heads: int | None = None) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the model, in either layout, however incomplete.

    No shape tells the lengths, the heads, or which attention a file without Reformer's weights was trained with.

    Args:
        state: a state dict.
        n_heads: how the model was trained; left out unless given.

    Raises:
        ValueError: ``n_heads`` is not positive.
    """
    require_positive(n_heads=n_heads)
    settings = {key: value for key, value in _settings(_ours(state)).items() if key not in ("inner", "freq")}
    return {"model": settings | ({} if n_heads is None else {"n_heads": n_heads})}


def target(state: Mapping[str, Tensor], *, n_heads: int | None = None) -> TemporalTransformer | TemporalReformer:
    """Return the model, on the meta device, that has the sizes of a state dict in either layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        n_heads: the number of heads, for widths that it does not divide.
    """
    settings = {"enc_in": 1, "n_marks": 5} | _settings(_ours(state))
    inner = settings.pop("inner", None)
    settings["n_heads"] = n_heads or heads_of(settings.get("d_model", 1), inner)
    with torch.device("meta"):
        return TemporalReformer(**settings) if _is_reformer(state) else TemporalTransformer(**settings)


def _is_reformer(state: Mapping[str, Tensor]) -> bool:
    return any(".attention.attn." in key or ".attn.qk." in key for key in state)


def _ours(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    official = any(key.startswith(("enc_embedding.", "dec_embedding.", "encoder.")) for key in state)
    return rules_of(state).known(state) if official else state


def _settings(ours: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what our state dict says, with ``inner``, the heads' width together, and a ``freq`` for its tables."""
    settings: dict[str, Any] = sizes(ours, _WITNESSES) | time_settings(ours, "embedding", "decoder_embedding")
    if _is_reformer(ours):
        return settings
    layers = [int(match.group(1)) for key in ours if (match := _DECODER_LAYER.match(key))]
    if layers:  # a stray index must not cost a model of that many layers
        settings["d_layers"] = min(max(layers) + 1, len(ours))
    if settings.get("e_layers", 1) > 1:  # else there is nothing to halve
        settings["distil"] = any(key.startswith("backbone.distilling.") for key in ours)
    return settings
