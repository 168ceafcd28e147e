"""Parameters that the official code has and never uses: left out of our files, and made again on the way back.

The official code loads strictly, so its files need them. Their values have no effect. Norms are as they are
initialised; what is officially drawn at random is zero, so that a file is the same however often it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

State = Mapping[str, Tensor]
LEVELS = 4  # of the maps
_REDUCTION = re.compile(r"(backbone\.layers\.\d+\.downsample\.)reduction\.weight")


def _norm(name: str, like: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.ones_like(like), f"{name}.bias": torch.zeros_like(like)}


def _mergings(state: State) -> list[tuple[str, Tensor]]:
    """Return the prefix of each merging, and the part of its weight that is for one of the four patches."""
    found = ((_REDUCTION.fullmatch(key), tensor) for key, tensor in state.items())
    return [(match[1], tensor[:, : tensor.shape[1] // 4]) for match, tensor in found if match]


def _expansions(state: State) -> dict[str, Tensor]:
    return {f"{prefix}expansion.weight": torch.zeros_like(part) for prefix, part in _mergings(state)}


def _merging_norms(state: State) -> dict[str, Tensor]:
    found = {}
    for prefix, part in _mergings(state):
        found |= _norm(f"{prefix}norm2", part[0])
    return found


def _output_norm(state: State, stage: int) -> dict[str, Tensor]:
    like = state.get(f"backbone.layers.{stage}.blocks.0.norm1.weight")
    return {} if like is None else _norm(f"backbone.norm{stage}", like)


def _level_embedding(state: State) -> dict[str, Tensor]:
    like = state.get("transformer.decoder.layers.0.norm1.weight")
    return {} if like is None else {"transformer.level_embed": like.new_zeros(LEVELS, len(like))}


def _fusion_part(state: State, part: str) -> dict[str, Tensor]:
    """Return the part at the coarsest level, of the same shapes as the one at the level before it."""
    fusion = "fusion.multi_scaler.refinenet_"
    like, own = f"{fusion}{LEVELS - 2}.{part}.", f"{fusion}{LEVELS - 1}.{part}."
    return {key.replace(like, own): torch.zeros_like(one) for key, one in state.items() if key.startswith(like)}


# Their names, and what makes them from the official state dict that has no such entries yet.
UNUSED: dict[str, Callable[[State], dict[str, Tensor]]] = {
    "backbone.layers.{s}.downsample.expansion.weight": _expansions,
    "backbone.layers.{s}.downsample.norm2.*": _merging_norms,
    **{f"backbone.norm{stage}.*": partial(_output_norm, stage=stage) for stage in (1, 2, 3)},
    "transformer.level_embed": _level_embedding,
    **{
        f"fusion.multi_scaler.refinenet_{LEVELS - 1}.{part}.*": partial(_fusion_part, part=part)
        for part in ("smoothing", "resConfUnit1")
    },
}
