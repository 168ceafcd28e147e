"""The official names of the parts over time tokens: embedding and decoder, as the Informer family of codes has them.

Official code: thuml/iTransformer @ c2426e6, layers/{Embed,Transformer_EncDec,SelfAttention_Family}.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from mmrepro.checkpoint import Drop, Rename, Squeeze
from mmrepro.forecasting.time_tokens import CALENDAR_SIZES, sinusoids

POSITIONS = 5000  # rows of the official buffers


def embedding_rules(official: str, ours: str) -> tuple[Rename | Drop, ...]:
    """Return the rules for a ``TemporalEmbedding`` that is called so in either layout."""

    def positions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weight = state[f"{official}.value_embedding.tokenConv.weight"]
        return {f"{official}.position_embedding.pe": sinusoids(POSITIONS, weight.shape[0], weight.device)[None]}

    time = f"{official}.temporal_embedding"
    tables = f"{ours}.time.tables"
    return (
        Rename(f"{official}.value_embedding.tokenConv.weight", f"{ours}.value.weight"),
        Rename(f"{time}.embed.weight", f"{ours}.time.weight"),
        *(Rename(f"{time}.{name}_embed.weight", f"{tables}.{name}.weight") for name in CALENDAR_SIZES),
        *(Rename(f"{time}.{name}_embed.emb.weight", f"{tables}.{name}.rows") for name in CALENDAR_SIZES),
        Drop(f"{official}.position_embedding.pe", "computed", positions),
    )


def _attention(official: str, ours: str) -> tuple[Rename, ...]:
    names = {"query_projection": "q", "key_projection": "k", "value_projection": "v", "out_projection": "proj"}
    return tuple(Rename(f"{official}.{theirs}.*", f"{ours}.{name}.*") for theirs, name in names.items())


_LAYER = "decoder.layers.{i}"  # in both layouts
DECODER_RULES = (
    *_attention(f"{_LAYER}.self_attention", f"{_LAYER}.self_attn"),
    *_attention(f"{_LAYER}.cross_attention", f"{_LAYER}.cross_attn"),
    Squeeze(f"{_LAYER}.conv1.weight", f"{_LAYER}.ffn.fc1.weight"),
    Squeeze(f"{_LAYER}.conv2.weight", f"{_LAYER}.ffn.fc2.weight"),
    Rename(f"{_LAYER}.conv1.bias", f"{_LAYER}.ffn.fc1.bias"),
    Rename(f"{_LAYER}.conv2.bias", f"{_LAYER}.ffn.fc2.bias"),
    *(Rename(f"{_LAYER}.norm{i}.*", f"{_LAYER}.norm{i}.*") for i in (1, 2, 3)),
    Rename("decoder.norm.*", "decoder.norm.*"),
    Rename("decoder.projection.*", "head.*"),
)
"""The rules for a ``TemporalDecoder`` called ``decoder`` and the linear layer behind it, ours called ``head``."""


def time_settings(keys: Iterable[str], *embeddings: str) -> dict[str, Any]:
    """Return what our keys say of the embedding of time; with tables, the number of marks may be larger than theirs.

    Args:
        keys: of our state dict.
        embeddings: what the ``TemporalEmbedding`` are called in it.
    """
    times = {key for key in keys if key.startswith(tuple(f"{name}.time." for name in embeddings))}
    if not times:
        return {"n_marks": 0}
    if any(key.endswith(".time.weight") for key in times):
        return {"embed": "timeF"}
    embed = "fixed" if any(key.endswith(".rows") for key in times) else "learned"
    return {"embed": embed, "freq": "t" if any(".minute." in key for key in times) else "h"}
