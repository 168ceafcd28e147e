"""The official forecaster, written down plainly from its description; see ``plain_meta_encoder.py``."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

_SPEC = importlib.util.spec_from_file_location(
    "mm_meta_transformer_plain_encoder_of_series", Path(__file__).with_name("plain_meta_encoder.py")
)
_BLOCKS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_BLOCKS)
linear, norm, attend, encoder = _BLOCKS.linear, _BLOCKS.norm, _BLOCKS.attend, _BLOCKS.encoder
Weights = dict[str, Tensor]


def tokens_of(weights: Weights, name: str, series: Tensor, marks: Tensor) -> Tensor:
    """Values of a step and its neighbours on a circle, sinusoids, and a linear layer on the time features."""
    kernel = weights[f"{name}.value_embedding.tokenConv.weight"]
    values = F.conv1d(F.pad(series.transpose(1, 2), (1, 1), mode="circular"), kernel).transpose(1, 2)
    steps, dims = values.shape[1:]
    rates = torch.exp(torch.arange(0, dims, 2).float() * -(math.log(10000.0) / dims))
    table = torch.zeros(steps, dims)
    table[:, 0::2] = torch.sin(torch.arange(steps).float()[:, None] * rates)
    table[:, 1::2] = torch.cos(torch.arange(steps).float()[:, None] * rates)
    return values + linear(weights, f"{name}.temporal_embedding.embed", marks) + table


def attention(weights: Weights, name: str, queries: Tensor, memory: Tensor, heads: int, causal: bool) -> Tensor:
    def split(part: str, tokens: Tensor) -> Tensor:
        return linear(weights, f"{name}.{part}_projection", tokens).unflatten(-1, (heads, -1)).transpose(1, 2)

    query, key, value = split("query", queries), split("key", memory), split("value", memory)
    if causal:
        scores = query @ key.transpose(-2, -1)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed = (scores.masked_fill(later, -torch.inf) * query.shape[-1] ** -0.5).softmax(-1) @ value
    else:
        mixed = attend(query, key, value)
    return linear(weights, f"{name}.out_projection", mixed.transpose(1, 2).flatten(2))


def decoder_layer(weights: Weights, name: str, tokens: Tensor, memory: Tensor, heads: int) -> Tensor:
    tokens = tokens + attention(weights, f"{name}.self_attention", tokens, tokens, heads, causal=True)
    tokens = norm(weights, f"{name}.norm1", tokens, 1e-5)
    tokens = tokens + attention(weights, f"{name}.cross_attention", tokens, memory, heads, causal=False)
    tokens = norm(weights, f"{name}.norm2", tokens, 1e-5)
    first, second = (f"{name}.conv{number}" for number in (1, 2))
    hidden = F.gelu(F.conv1d(tokens.transpose(1, 2), weights[f"{first}.weight"], weights[f"{first}.bias"]))
    hidden = F.conv1d(hidden, weights[f"{second}.weight"], weights[f"{second}.bias"]).transpose(1, 2)
    return norm(weights, f"{name}.norm3", tokens + hidden, 1e-5)


def forecast(
    weights: Weights, inputs: dict[str, Tensor], heads: int, decoder_heads: int = 8, steps: int = 96
) -> Tensor:
    """What the decoder fills in: ``series`` (B, T, V), ``asked`` (B, label + S, V) and their marks to (B, S, V)."""
    memory = tokens_of(weights, "enc_embedding", inputs["series"], inputs["marks"])
    memory = encoder(weights, "encoder.", memory, heads)
    tokens = tokens_of(weights, "dec_embedding", inputs["asked"], inputs["asked_marks"])
    layer = 0
    while f"decoder.layers.{layer}.norm1.weight" in weights:
        tokens = decoder_layer(weights, f"decoder.layers.{layer}", tokens, memory, decoder_heads)
        layer += 1
    return linear(weights, "decoder.projection", norm(weights, "decoder.norm", tokens, 1e-5))[:, -steps:]
