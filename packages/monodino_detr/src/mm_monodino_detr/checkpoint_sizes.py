"""The settings of a detector that its weights show: :func:`mm_monodino_detr.checkpoint.infer_config`.

Where a weight is absent or makes no sense, the published value stands, so that the model that is built from the
settings names the keys at fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn

from mm_monodino_detr.models import dinov2_vit, dpt_head

HEADS = 8  # of the attentions; no weight shows how many
GROUPS = 11  # of the queries in training; weights show the number of queries of all groups together
QUERIES = 50
LEVELS = 4  # of the token maps
HEAD_DIMS = 64  # of each head of a published ViT


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

    def count(self, pattern: str, default: int) -> int:
        """Return how many different numbers stand at the group of a pattern, or the default for none."""
        found = (re.match(pattern, key) for key in self.shapes)
        return len({match[1] for match in found if match}) or default


def model_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the detector's config for a state dict in our layout, however incomplete.

    Args:
        state: the weights.
    """
    shapes = Shapes(state)
    dims = shapes.size("encoder.level_embed", 1, 256)
    levels = shapes.size("encoder.level_embed", 0, 3)
    use_dab = "queries.query_embed.weight" not in shapes.shapes
    rows = shapes.size(f"queries.{'tgt' if use_dab else 'query'}_embed.weight", 0, QUERIES * GROUPS)
    groups = 1 if rows % GROUPS else GROUPS
    channels = shapes.size("backbone.cls_token", 2, 768)
    bins = shapes.size("depth_predictor.depth_classifier.weight", 0, 81) - 1
    farthest = float(shapes.size("depth_predictor.depth_pos_embed.weight", 0, 61) - 1)
    sampling = dict(embed_dims=dims, num_heads=HEADS, num_levels=levels)
    return dict(
        type="MonoDINODETR",
        backbone=dict(type="DINOv2ViT", arch=_body(shapes, channels), img_size=_side(shapes)),
        depth_head=dict(type="DPTDepthHead", arch=_depth_head(shapes, channels)),
        neck=dict(
            type="HierarchicalFeatureFusion",
            in_channels=shapes.size("neck.input_proj.2.0.weight", 1, channels),
            mid_channels=tuple(
                shapes.size(f"neck.input_proj.{level}.0.weight", 0, default) for level, default in ((0, 192), (1, 384))
            ),
            out_channels=dims,
        ),
        depth_predictor=dict(
            type="DepthPredictor",
            num_depth_bins=bins,
            depth_min=1e-3,
            depth_max=farthest,
            embed_dims=dims,
            feedforward_channels=shapes.size("depth_predictor.depth_encoder.ffn.layers.0.0.bias", 0, 256),
        ),
        encoder=dict(
            num_layers=shapes.count(r"encoder\.layers\.(\d+)\.", 3),
            feedforward_channels=shapes.size("encoder.layers.0.ffn.layers.0.0.bias", 0, 256),
            num_points=_points(shapes, "encoder.layers.0.self_attn", levels),
            **sampling,
        ),
        decoder=dict(
            num_layers=shapes.count(r"decoder\.layers\.(\d+)\.", 3),
            use_dab=use_dab,
            feedforward_channels=shapes.size("decoder.layers.0.ffn.layers.0.0.bias", 0, 256),
            num_points=_points(shapes, "decoder.layers.0.cross_attn", levels),
            **sampling,
        ),
        num_queries=rows // groups,
        group_num=groups,
        bbox_head=dict(type="MonoDETRHead", num_classes=shapes.size("bbox_head.cls_branches.0.bias", 0, 4)),
    )


def variant_of(settings: Mapping[str, Any]) -> str:
    """Return what people call a detector of these settings, which are flat: names with dots."""
    arch = settings["backbone.arch"]
    body = f"ViT-{arch[0].upper()}" if isinstance(arch, str) else "ViT of its own sizes"
    dab = "with" if settings["decoder.use_dab"] else "without"
    bins, farthest = settings["depth_predictor.num_depth_bins"], settings["depth_predictor.depth_max"]
    classes = settings["bbox_head.num_classes"]
    return f"{body} {dab} DAB ({classes} class{'es' * (classes != 1)}, {bins} bins to {farthest:g} m)"


def _points(shapes: Shapes, attention: str, levels: int) -> int:
    samples = shapes.size(f"{attention}.attention_weights.bias", 0, HEADS * levels * 4)
    return max(samples // (HEADS * levels), 1)


def settings_of(model: nn.Module) -> dict[str, Any]:
    """Return a detector's settings: what its weights say, and what only its attributes say."""
    settings = model_settings(model.state_dict())
    settings |= dict(
        target_size=tuple(model.target_size),
        num_queries=model.get_submodule("queries").num_queries,
        group_num=model.group_num,
    )
    settings["backbone"] |= dict(
        num_heads=model.get_submodule("backbone.blocks.0.attn").heads,
        out_indices=tuple(model.get_submodule("backbone").out_indices),
    )
    predictor = model.get_submodule("depth_predictor")
    settings["depth_predictor"] |= dict(depth_min=predictor.depth_min, depth_max=predictor.depth_max)
    for part, attention in (("encoder", "self_attn"), ("decoder", "cross_attn")):
        sampling = model.get_submodule(f"{part}.layers.0.{attention}")
        settings[part] |= dict(num_heads=sampling.num_heads, num_points=sampling.num_points)
    return settings


def _side(shapes: Shapes) -> int:
    """Return the side in pixels of the images that the position embedding was made for."""
    return dinov2_vit.PATCH * isqrt(max(shapes.size("backbone.pos_embed", 1, 1370) - 1, 1))


def _body(shapes: Shapes, channels: int) -> str | dict[str, Any]:
    """Return the name of the published ViT of these sizes, or else the sizes; heads and levels show in no weight."""
    depth = shapes.count(r"backbone\.blocks\.(\d+)\.", 12)
    for name, arch in dinov2_vit.ARCHS.items():
        if (arch["embed_dims"], arch["depth"]) == (channels, depth):
            return name
    heads = 1 if channels % HEAD_DIMS else channels // HEAD_DIMS
    levels = tuple(max(depth * (level + 1) // LEVELS - 1, 0) for level in range(LEVELS))
    return dict(embed_dims=channels, depth=depth, num_heads=heads, out_indices=levels)


def _depth_head(shapes: Shapes, channels: int) -> str | dict[str, Any]:
    published = dpt_head.ARCHS["base"]
    found = dict(
        embed_dims=shapes.size("depth_head.projects.0.weight", 1, channels),
        features=shapes.size("depth_head.scratch.layer1_rn.weight", 0, published["features"]),
        out_channels=tuple(
            shapes.size(f"depth_head.projects.{level}.weight", 0, width)
            for level, width in enumerate(published["out_channels"])
        ),
    )
    return next((name for name, arch in dpt_head.ARCHS.items() if arch == found), found)
