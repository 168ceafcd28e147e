"""The settings of a detector that the shapes of its weights show: :func:`mm_relation_detr.checkpoint.infer_config`.

Where a shape is absent or makes no sense, the published value stands, so that the model that is built from the settings
names the keys at fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_relation_detr.backbone_keys import TABLE

_RESNETS = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


class Shapes:
    """The shapes of a state dict, read without trusting them.

    Args:
        state: a state dict in our layout.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}

    def size(self, key: str, axis: int, default: int) -> int:
        """Return the length of an axis of a weight, or the default where there is none."""
        shape = self.shapes.get(key, ())
        return shape[axis] if -len(shape) <= axis < len(shape) and shape[axis] else default

    def has(self, prefix: str) -> bool:
        """Return whether a key begins so."""
        return any(key.startswith(prefix) for key in self.shapes)

    def count(self, pattern: str) -> int:
        """Return how many different numbers stand at the group of a pattern."""
        found = (re.match(pattern, key) for key in self.shapes)
        return len({match[1] for match in found if match})

    def depths(self, pattern: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return the number of blocks of each of four stages; ``{}`` in the pattern stands for the stage."""
        found = tuple(self.count(pattern.format(stage)) for stage in range(4))
        return found if all(found) else default


def model_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the detector's config for a state dict in our layout, however incomplete."""
    shapes = Shapes(state)
    dims = shapes.size("level_embed", 1, 256)
    levels = shapes.size("level_embed", 0, 4)
    maps = shapes.count(r"neck\.convs\.(\d+)\.") or levels - 1
    heads = math.gcd(shapes.size("decoder.position_relation_embedding.pos_proj.0.weight", 0, 8), dims)
    kind = _kind(shapes)
    settings = {
        "type": kind,
        "num_feature_levels": levels,
        "backbone": _backbone(shapes, maps),
        "neck": _neck(shapes, dims, maps, levels),
        "positional_encoding": dict(num_feats=dims // 2, normalize=True, offset=-0.5, eps=1e-6, temperature=10000),
        "encoder": dict(
            num_layers=shapes.count(r"encoder\.layers\.(\d+)\.") or 6,
            layer_cfg=_layer(shapes, "encoder", "self_attn", dims, levels, heads),
        ),
        "decoder": dict(
            num_layers=shapes.count(r"decoder\.layers\.(\d+)\.") or 6,
            layer_cfg=_layer(shapes, "decoder", "cross_attn", dims, levels, heads)
            | dict(self_attn_cfg=dict(embed_dims=dims, num_heads=heads)),
            position_relation=dict(
                num_heads=heads,
                embed_dim=shapes.size("decoder.position_relation_embedding.pos_proj.0.weight", 1, 64) // 4,
            ),
        ),
        "bbox_head": dict(
            type="RelationDETRHead",
            num_classes=shapes.size("bbox_head.cls_branches.0.weight", 0, 91),
            embed_dims=dims,
        ),
        "num_queries": shapes.size("query_embedding.weight", 0, 900 if kind == "RelationDETR" else 300),
    }
    if kind == "RelationDETR":
        hybrid = shapes.has("hybrid_query_embedding.")
        settings["hybrid_num_queries"] = shapes.size("hybrid_query_embedding.weight", 0, 0) if hybrid else 0
    return settings


def _kind(shapes: Shapes) -> str:
    """Return the detector's class: each has weights that no other has."""
    if shapes.has("encoder.memory_fusion."):
        return "RelationDETR"
    if shapes.has("reference_embedding."):
        return "DNDeformableDETRPP"
    if shapes.has("pos_trans_fc."):
        return "DeformableDETRPP"
    if shapes.has("query_embedding."):
        return "DINOPP"
    return "DABDeformableDETRPP" if shapes.has("memory_trans_fc.") else "RelationDETR"


def _backbone(shapes: Shapes, maps: int) -> dict[str, Any]:
    out_indices = tuple(range(4 - min(maps, 4), 4))
    if shapes.has("backbone.patch_embed.projection."):
        return _swin(shapes, out_indices)
    if shapes.has("backbone.patch_embed.proj."):
        return _focalnet(shapes, out_indices)
    if shapes.has("backbone.downsample_layers."):
        return _convnext(shapes, out_indices)
    depths = tuple(shapes.count(rf"backbone\.layer{stage}\.(\d+)\.") for stage in range(1, 5))
    two_convs = shapes.has("backbone.layer1.") and not shapes.has("backbone.layer1.0.conv3.")
    return dict(
        type="ResNet",
        depth=34 if two_convs and depths == (3, 4, 6, 3) else _RESNETS.get(depths, 50),
        base_channels=shapes.size("backbone.conv1.weight", 0, 64),
        out_indices=out_indices,
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
    )


def _swin(shapes: Shapes, out_indices: tuple[int, ...]) -> dict[str, Any]:
    tables = [f"backbone.stages.{stage}.blocks.0.attn.w_msa.{TABLE}" for stage in range(4)]
    dims = shapes.size("backbone.patch_embed.projection.weight", 0, 192)
    return dict(
        type="RelationSwin",
        embed_dims=dims,
        depths=shapes.depths(r"backbone\.stages\.{}\.blocks\.(\d+)\.", (2, 2, 18, 2)),
        num_heads=tuple(shapes.size(table, 1, heads) for table, heads in zip(tables, (6, 12, 24, 48), strict=True)),
        window_size=(math.isqrt(shapes.size(tables[0], 0, 169)) + 1) // 2,
        mlp_ratio=shapes.size("backbone.stages.0.blocks.0.ffn.layers.0.0.weight", 0, 4 * dims) // dims,
        drop_path_rate=0.2,
        out_indices=out_indices,
        frozen_stages=1,
    )


def _focalnet(shapes: Shapes, out_indices: tuple[int, ...]) -> dict[str, Any]:
    modulation = "backbone.layers.{}.blocks.0.modulation.focal_layers."
    names = [modulation.format(stage) for stage in range(4)]
    return dict(
        type="FocalNet",
        embed_dim=shapes.size("backbone.patch_embed.proj.weight", 0, 192),
        depths=shapes.depths(r"backbone\.layers\.{}\.blocks\.(\d+)\.", (2, 2, 18, 2)),
        focal_levels=tuple(shapes.count(re.escape(name) + r"(\d+)\.") or 4 for name in names),
        focal_windows=tuple(shapes.size(f"{name}0.0.weight", 2, 3) for name in names),
        out_indices=out_indices,
    )


def _convnext(shapes: Shapes, out_indices: tuple[int, ...]) -> dict[str, Any]:
    channels = [shapes.size(f"backbone.stages.{stage}.0.gamma", 0, 192 * 2**stage) for stage in range(4)]
    depths = shapes.depths(r"backbone\.stages\.{}\.(\d+)\.", (3, 3, 27, 3))
    return dict(
        type="RelationConvNeXt",
        arch=dict(depths=list(depths), channels=channels),
        drop_path_rate=0.5,
        out_indices=out_indices,
        frozen_stages=1,
    )


def _neck(shapes: Shapes, dims: int, maps: int, levels: int) -> dict[str, Any]:
    return dict(
        type="ChannelMapper",
        in_channels=[shapes.size(f"neck.convs.{number}.conv.weight", 1, 256 * 2**number) for number in range(maps)],
        kernel_size=1,
        out_channels=dims,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=math.gcd(32, dims)),
        num_outs=levels,
    )


def _layer(shapes: Shapes, part: str, attention: str, dims: int, levels: int, heads: int) -> dict[str, Any]:
    """Return what a layer of the encoder or the decoder has in common: deformable attention and the FFN."""
    first = f"{part}.layers.0"
    weights = shapes.size(f"{first}.{attention}.attention_weights.bias", 0, heads * levels * 4)
    return {
        f"{attention}_cfg": dict(
            embed_dims=dims,
            num_heads=heads,
            num_levels=levels,
            num_points=max(weights // (heads * levels), 1),
            dropout=0.0,
            batch_first=True,
        ),
        "ffn_cfg": dict(
            embed_dims=dims,
            feedforward_channels=shapes.size(f"{first}.ffn.layers.0.0.bias", 0, 2048),
            ffn_drop=0.0,
        ),
    }
