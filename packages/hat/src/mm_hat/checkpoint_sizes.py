"""What the shapes of a state dict say of the networks: the constructor arguments, the published variant, the indices.

Variants: arXiv 2205.04437, section 4.1, with the numbers of the option files of XPixelGroup/HAT @ 1638a9a. A state dict
may be incomplete or misshapen: what does not show is left out, so that the caller can name the keys at fault.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mm_hat.models.relative_position import overlap_index
from mmrepro.ops.windows import relative_position_index

GENERATOR, DISCRIMINATOR = "generator.", "discriminator."
WINDOW_INDEX, OVERLAP_INDEX = "relative_position_index_SA", "relative_position_index_OCA"
TABLE = "relative_position_bias_table"

# What tells the published networks apart; the head of a network says the scale.
_VARIANTS = {
    "HAT-S": {"embed_dim": 144, "groups": 6, "compress_ratio": 24},
    "HAT": {"embed_dim": 180, "groups": 6, "compress_ratio": 3},
    "HAT-L": {"embed_dim": 180, "groups": 12, "compress_ratio": 3},
}
# A published window has 16 pixels; a file that claims many more would only cost memory.
_LARGEST_WINDOW = 64


def variant_of(settings: Mapping[str, Any]) -> str:
    """Return what people call a generator of these settings: ``HAT-L x4``, or type and sizes of one without a name."""
    kind = settings.get("type", "HAT")
    seen = dict(settings) | {"groups": len(settings.get("depths", ()))}
    scale = f"x{settings.get('upscale', '?')}"
    for name, sizes in _VARIANTS.items():
        if kind == "HAT" and all(seen.get(key) == value for key, value in sizes.items()):
            return f"{name} {scale}"
    return f"a {kind} of width {seen.get('embed_dim', '?')} with {seen['groups']} groups, {scale}"


def parts(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the generator's and the discriminator's tensors under official names, of a state dict in either layout."""
    generator, discriminator = {}, {}
    for key, tensor in state.items():
        if key.startswith(DISCRIMINATOR):
            discriminator[key.removeprefix(DISCRIMINATOR)] = tensor
        elif re.match(r"conv\d+\.", key):
            discriminator[key] = tensor
        else:
            generator[key.removeprefix(GENERATOR)] = tensor
    return generator, discriminator


def generator_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the constructor arguments that the shapes show, under official names."""
    block = r"layers\.\d+\.residual_group\.blocks\.\d+\."
    overlap = r"layers\.\d+\.residual_group\.overlap_attn\."
    width = _common(state, rf"conv_first\.weight|norm\.weight|conv_after_body\.weight|{block}norm1\.weight", 0)
    window = _window(_common(state, rf"{block}attn\.{TABLE}", 0))
    keys = _window(_common(state, rf"{overlap}{TABLE}", 0), window)
    middle = _common(state, rf"{block}conv_block\.cab\.0\.weight", 0)
    squeezed = _common(state, rf"{block}conv_block\.cab\.3\.attention\.1\.weight", 0)
    hidden = _common(state, rf"{block}mlp\.fc1\.weight", 0)
    depths = _depths(state)
    heads = _common(state, rf"{block}attn\.{TABLE}", 1)
    found: dict[str, Any] = {"in_chans": _common(state, r"conv_first\.weight", 1), "embed_dim": width}
    found |= {"window_size": window, "depths": depths or None, "upscale": _scale(state)}
    if window and keys and keys >= window and (keys - window) % 2 == 0:
        found["overlap_ratio"] = _overlap_ratio(window, keys)
    if width and heads and width % heads == 0:
        found["num_heads"] = (heads,) * (len(depths) or 6)
    if width and hidden:
        found["mlp_ratio"] = hidden / width
    # The smallest divisor that gives the same whole number: 144 // 24 = 6 and 144 // 6 = 24.
    found |= {"compress_ratio": _ratio(width, middle), "squeeze_factor": _ratio(width, squeezed)}
    return {name: value for name, value in found.items() if value is not None} | _presence(state)


def _presence(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that show in which keys there are; those of a whole file only, nothing where none shows."""
    found: dict[str, Any] = {}
    if "conv_last.weight" in state:
        has_upsampler = any(key.startswith("conv_before_upsample.") for key in state)
        found["upsampler"] = "pixelshuffle" if has_upsampler else None
    if "layers.0.residual_group.overlap_attn.norm1.weight" in state:
        found["resi_connection"] = "1conv" if any(key.startswith("conv_after_body.") for key in state) else "identity"
        found["qkv_bias"] = any(key.endswith(".qkv.bias") for key in state)
        found["patch_norm"] = any(key.startswith("patch_embed.norm.") for key in state)
    if (position := state.get("absolute_pos_embed")) is not None and position.ndim == 3:
        found |= {"ape": True, "img_size": math.isqrt(position.shape[1])}
    return found


def _scale(state: Mapping[str, Tensor]) -> int | None:
    """Return the factor that the head enlarges by: one convolution for 3, one for each doubling; None if unclear."""
    convs = [tensor for key, tensor in state.items() if re.fullmatch(r"upsample\.\d+\.weight", key)]
    if convs:
        is_triple = len(convs) == 1 and convs[0].ndim == 4 and convs[0].shape[0] == 9 * convs[0].shape[1]
        return 3 if is_triple else 2 ** min(len(convs), 6)
    return 1 if any(key.startswith("conv_last.") for key in state) else None


def _depths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the number of blocks in each group; a lone index far out of line is not believed."""
    found: dict[int, set[int]] = {}
    for key in state:
        match = re.match(r"layers\.(\d+)\.(?:residual_group\.blocks\.(\d+)\.)?", key)
        if match:
            group = found.setdefault(int(match[1]), set())
            if match[2]:
                group.add(int(match[2]))
    usual = _count(Counter(index for group in found.values() for index in group))
    blocks = {index: _count(group) or usual for index, group in found.items()}
    return tuple(blocks.get(index, usual) for index in range(_count(found)))


def _count(indices: Iterable[int]) -> int:
    """Return how many there are with those that are missing in between, unless most are missing."""
    distinct = set(indices)
    highest = max(distinct, default=-1) + 1
    return highest if highest <= 2 * len(distinct) else len(distinct)


def _common(state: Mapping[str, Tensor], pattern: str, axis: int) -> int | None:
    """Return the most common length of an axis of the tensors whose key matches, None if there is none."""
    matching = (tensor.shape for key, tensor in state.items() if re.fullmatch(pattern, key))
    lengths = Counter(shape[axis] for shape in matching if len(shape) > axis and shape[axis] > 0)
    return lengths.most_common(1)[0][0] if lengths else None


def _window(rows: int | None, queries: int | None = None) -> int | None:
    """Return the side of the keys' window for a bias table's rows, (M + Mo - 1)^2; M = Mo without ``queries``."""
    side = math.isqrt(rows or 0)
    if not rows or side * side != rows or (queries is None and side % 2 == 0):
        return None
    keys = (side + 1) // 2 if queries is None else side + 1 - queries
    return keys if 0 < keys <= _LARGEST_WINDOW and (queries is not None or keys % 2 == 0) else None


def _overlap_ratio(window: int, keys: int) -> float:
    """Return the ratio that the constructor, which cuts off what follows the point, turns into the keys' window."""
    ratio = (keys - window) / window
    return ratio if int(window * ratio) == keys - window else (keys - window + 0.5) / window


def _ratio(width: int | None, part: int | None) -> int | None:
    return width // part if width and part and part <= width else None


def discriminator_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the discriminator's constructor arguments that the shapes show, under official names."""
    sizes = {"num_in_ch": _common(state, r"conv0\.weight", 1), "num_feat": _common(state, r"conv0\.weight", 0)}
    return {name: value for name, value in sizes.items() if value is not None}


def index_tables(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official index tables, negative entries included, for the sizes of a generator's bias tables."""
    window = _window(_common(state, rf".*\.attn\.{TABLE}", 0))
    keys = _window(_common(state, rf".*\.overlap_attn\.{TABLE}", 0), window)
    if window is None or keys is None:
        return {}
    wrapped = overlap_index(window, keys)
    length = (window + keys - 1) ** 2
    # The official offsets run from -(Mo - 2)(M + Mo) to M (M + Mo), as many as the table is long.
    official = torch.where(wrapped > window * (window + keys), wrapped - length, wrapped)
    return {WINDOW_INDEX: relative_position_index(window), OVERLAP_INDEX: official}
