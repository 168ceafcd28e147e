"""The official models of point clouds, written down plainly from their description; see ``plain_meta_encoder.py``.

Sampling cloud by cloud, all distances at once, groups of copied points, and convolutions over them. Weights have the
official names; batch norm uses its running statistics.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

_SPEC = importlib.util.spec_from_file_location(
    "mm_meta_transformer_plain_encoder_of_points", Path(__file__).with_name("plain_meta_encoder.py")
)
_BLOCKS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_BLOCKS)
linear, norm, encoder = _BLOCKS.linear, _BLOCKS.norm, _BLOCKS.encoder
Weights = dict[str, Tensor]
EMBED = "encoder.patch_embed"


def farthest(points: Tensor, count: int) -> Tensor:
    """(B, N, 3) to indices (B, count)."""
    chosen = []
    for cloud in points:
        nearest, latest, found = torch.full((len(cloud),), 1e10), 0, [0]
        while len(found) < count:
            nearest = torch.minimum(nearest, ((cloud - cloud[latest]) ** 2).sum(-1))
            latest = int(nearest.argmax())
            found.append(latest)
        chosen.append(torch.tensor(found))
    return torch.stack(chosen)


def nearest(points: Tensor, centres: Tensor, count: int) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(centres, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(count, -1, largest=False)


def taken(values: Tensor, index: Tensor) -> Tensor:
    """Rows (B, ..., C) of (B, N, C)."""
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).unflatten(1, index.shape[1:])


def convolved(weights: Weights, name: str, features: Tensor, act: bool) -> Tensor:
    """A convolution of kernel 1 (a linear layer for (B, C)), its norm where it has one, and ReLU."""
    kernel, bias = weights[f"{name}.0.weight"], weights.get(f"{name}.0.bias")
    apply = {2: F.linear, 3: F.conv1d, 4: F.conv2d}[features.ndim]
    features = apply(features, kernel, bias)
    if f"{name}.1.running_mean" in weights:
        names = ("running_mean", "running_var", "weight", "bias")
        features = F.batch_norm(features, *(weights[f"{name}.1.{one}"] for one in names))
    elif f"{name}.1.weight" in weights:
        features = norm(weights, f"{name}.1", features.movedim(1, -1), 1e-5).movedim(-1, 1)
    return features.relu() if act else features


def pooled(weights: Weights, first: str, second: str, groups: Tensor, last_act: bool) -> Tensor:
    """(B, C, M, K) to (B, C', M)."""
    features = convolved(weights, f"{first}.1", convolved(weights, f"{first}.0", groups, act=True), act=False)
    joined = torch.cat((features.amax(-1, keepdim=True).expand_as(features), features), 1)
    return convolved(weights, f"{second}.1", convolved(weights, f"{second}.0", joined, act=True), last_act).amax(-1)


def embedded(
    weights: Weights, inputs: dict[str, Tensor], neighbours: int
) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """Levels of (points, features (B, C, N)), the centres, and the tokens (B, C, M)."""
    points = inputs["points"]
    features = inputs.get("features", points)
    levels, stage = [(points, features.transpose(1, 2))], 0
    if f"{EMBED}.conv1.0.0.weight" in weights:
        chosen = farthest(points, points.shape[1] // 4)
        centres = taken(points, chosen)
        offsets = taken(points, nearest(points, centres, neighbours)[1]) - centres[:, :, None]
        return levels, centres, pooled(weights, f"{EMBED}.conv1", f"{EMBED}.conv2", offsets.permute(0, 3, 1, 2), False)
    while f"{EMBED}.convs.{stage}.0.0.0.weight" in weights:
        chosen = farthest(points, points.shape[1] // 4)
        centres = taken(points, chosen)
        index = nearest(points, centres, neighbours)[1]
        offsets = taken(points, index) - centres[:, :, None]
        changes = taken(features, index) - taken(features, chosen)[:, :, None]
        groups = torch.cat((offsets, changes), -1).permute(0, 3, 1, 2)
        tokens = pooled(weights, f"{EMBED}.convs.{stage}.0", f"{EMBED}.convs.{stage}.1", groups, True)
        points, features, stage = centres, tokens.transpose(1, 2), stage + 1
        levels.append((points, tokens))
    return levels[:-1], points, features.transpose(1, 2)


def encoded(weights: Weights, centres: Tensor, tokens: Tensor, heads: int) -> Tensor:
    """All tokens, the class token first."""
    position = linear(weights, "encoder.pos_embed.1", F.gelu(linear(weights, "encoder.pos_embed.0.0", centres)))
    batch = len(centres)
    position = torch.cat((weights["encoder.cls_pos"].expand(batch, -1, -1), position), 1)
    tokens = torch.cat((weights["encoder.cls_token"].expand(batch, -1, -1), tokens.transpose(1, 2)), 1)
    return norm(weights, "encoder.norm", encoder(weights, "encoder.blocks.", tokens, heads, position=position), 1e-6)


def summaries(features: Tensor, kinds: str, class_token: Tensor) -> Tensor:
    """(B, C, N) to (B, k * C)."""
    found = {"cls": class_token, "max": features.amax(-1), "avg": features.mean(-1)}
    return torch.cat([found[kind] for kind in kinds.split(",")], 1)


def head(weights: Weights, name: str, features: Tensor) -> Tensor:
    """Hidden layers, then the classes, without dropout."""
    number = 0
    while f"{name}.{number + 2}.0.weight" in weights:
        features, number = convolved(weights, f"{name}.{number}", features, act=True), number + 2
    return convolved(weights, f"{name}.{number}", features, act=False)


def classified(
    weights: Weights, inputs: dict[str, Tensor], heads: int, kinds: str = "cls,max,avg", neighbours: int = 32
) -> Tensor:
    """Logits of clouds."""
    _, centres, tokens = embedded(weights, inputs, neighbours)
    tokens = encoded(weights, centres, tokens, heads)
    return head(weights, "prediction.head", summaries(tokens[:, 1:].transpose(1, 2), kinds, tokens[:, 0]))


def segmented(
    weights: Weights, inputs: dict[str, Tensor], heads: int, kinds: str = "cls,max", neighbours: int = 32
) -> Tensor:
    """Logits (B, K, N) of points; ``category`` (B,) is the kind of object of parts."""
    levels, known_points, tokens = embedded(weights, inputs, neighbours)
    tokens = encoded(weights, known_points, tokens, heads)
    class_token, known = tokens[:, 0], tokens[:, 1:]
    if "category" in inputs:
        kernel = weights["decoder.convc.0.0.weight"]
        one_hot = F.one_hot(inputs["category"], kernel.shape[1]).float()[..., None]
        kind = F.gelu(F.conv1d(one_hot, kernel, weights["decoder.convc.0.0.bias"]))
        points, features = levels[0]
        levels[0] = points, torch.cat((kind.expand(-1, -1, points.shape[1]), features), 1)
    for number, (points, skip) in reversed(list(enumerate(levels))):
        distance, index = nearest(known_points, points, 3)
        share = 1 / (distance + 1e-8)
        share = share / share.sum(-1, keepdim=True)
        spread = (taken(known, index) * share[..., None]).sum(2).transpose(1, 2)
        features = torch.cat((skip, spread), 1)
        for layer in range(2):
            features = convolved(weights, f"decoder.decoder.{number}.0.convs.{layer}", features, act=True)
        known_points, known = points, features.transpose(1, 2)
    summary = summaries(features, kinds, class_token)[..., None].expand(-1, -1, features.shape[-1])
    return head(weights, "head.head", torch.cat((summary, features), 1))
