"""The settings of a detector that its weights show: :func:`mm_vidt.checkpoint.infer_config`.

Where a weight is absent or makes no sense, the published value stands, so that the model that is built from the
settings names the keys at fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mm_vidt.class_rows import RAW_ROWS
from mm_vidt.models import coat_lite, ram_swin

HEADS = 8  # of the decoder's attentions; no weight shows how many
STAGES = range(ram_swin.STAGES)
_TABLE = "backbone.stages.{}.blocks.0.attn.w_msa.relative_position_bias_table"


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


def model_settings(state: Mapping[str, Tensor], raw: bool | None = None) -> dict[str, Any]:
    """Return the detector's config for a state dict in our layout, however incomplete.

    Args:
        state: the weights.
        raw: whether class rows are raw category ids; None finds it out as far as that can be: token labels have a row
            more than classes where they are not, and 91 rows are COCO's ids.
    """
    shapes = Shapes(state)
    dims = shapes.size("tgt_proj.0.weight", 0, shapes.size("input_proj.0.weight", 0, 256))
    if shapes.has("bbox_head.cls_branch."):
        rows = shapes.size("bbox_head.cls_branch.4.bias", 0, RAW_ROWS + 1)
        head = dict(type="ViDTNeckFreeHead", num_classes=rows - 1, embed_dims=dims)
        return dict(type="ViDTNeckFree", backbone=_backbone(shapes, neck_free=True), bbox_head=head)
    levels = shapes.count(r"neck\.(?:convs\.|layer_)(\d+)[._]") or 4
    samples = shapes.size("decoder.layers.0.cross_attn.attention_weights.bias", 0, HEADS * levels * 4)
    decoder = dict(
        num_layers=shapes.count(r"decoder\.layers\.(\d+)\.") or 6,
        embed_dims=dims,
        num_heads=HEADS,
        num_levels=levels,
        num_points=max(samples // (HEADS * levels), 1),
        feedforward_channels=shapes.size("decoder.layers.0.ffn.layers.0.0.bias", 0, 1024),
    )
    backbone = _backbone(shapes, neck_free=False)
    neck = _neck(shapes, levels, dims)
    return dict(type="ViDT", backbone=backbone, neck=neck, decoder=decoder, bbox_head=_head(shapes, state, raw))


def variant_of(settings: Mapping[str, Any]) -> str:
    """Return what people call a detector of these settings, which are flat: names with dots."""
    body = {"ViDTSwinTransformer": "Swin", "ViDTCoaT": "CoaT-Lite"}[settings["backbone.type"]]
    arch = settings["backbone.arch"]
    text = f"{body} {arch if isinstance(arch, str) else 'of its own sizes'}"
    text += f", {settings['backbone.num_det_tokens']} [DET] tokens"
    if settings["type"] == "ViDTNeckFree":
        return f"neck-free ViDT ({text})"
    extra = {"with_vector": "mask vectors", "iou_aware": "overlaps", "token_label": "token labels"}
    heads = [name for key, name in extra.items() if settings[f"bbox_head.{key}"]]
    text += f", {settings['decoder.num_layers']} decoder layers{', with ' if heads else ''}{', '.join(heads)}"
    return f"{'ViDT+' if settings['neck.type'] == 'EPFF' else 'ViDT'} ({text})"


def shares_levels(state: Mapping[str, Tensor]) -> bool:
    """Return whether all levels have the same box branch in a state dict of ours: there is no box refinement then."""
    levels: dict[str, list[Tensor]] = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"bbox_head\.reg_branches\.\d+\.(.+)", key):
            levels.setdefault(match[1], []).append(tensor)
    copies = [(first, other) for first, *others in levels.values() for other in others]
    return bool(copies) and all(
        not first.is_meta and first.shape == other.shape and torch.equal(first, other) for first, other in copies
    )


def _head(shapes: Shapes, state: Mapping[str, Tensor], raw: bool | None) -> dict[str, Any]:
    rows = shapes.size("bbox_head.cls_branches.0.bias", 0, RAW_ROWS)
    token_rows = shapes.size("bbox_head.token_embed.bias", 0, 0)
    if raw is None:
        raw = token_rows == rows if token_rows else rows == RAW_ROWS
    with_vector = shapes.has("bbox_head.vector_branch.")
    settings = dict(
        type="ViDTHead",
        num_classes=rows,
        with_box_refine=not shares_levels(state),
        iou_aware=shapes.has("bbox_head.iou_branches."),
        with_vector=with_vector,
        token_label=shapes.has("bbox_head.token_embed."),
        labels="raw" if raw else "contiguous",
    )
    return settings | (dict(n_keep=shapes.size("bbox_head.vector_branch.4.bias", 0, 256)) if with_vector else {})


def _neck(shapes: Shapes, levels: int, dims: int) -> dict[str, Any]:
    if shapes.has("neck.layer_"):
        widths = [shapes.size(f"neck.layer_{level}_rn.weight", 1, dims) for level in range(levels)]
        return dict(type="EPFF", in_channels=widths, out_channels=dims)
    widths = [shapes.size(f"neck.convs.{level}.conv.weight", 1, dims) for level in range(levels)]
    return dict(
        type="ChannelMapper",
        in_channels=widths,
        out_channels=dims,
        kernel_size=1,
        bias=True,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=None,
        num_outs=levels,
    )


def _backbone(shapes: Shapes, neck_free: bool) -> dict[str, Any]:
    tokens = dict(
        num_det_tokens=shapes.size("backbone.det_token", 1, 100),
        det_pos_dims=shapes.size("backbone.det_pos_embed", 2, 256),
        last_merging=not neck_free,
    )
    if shapes.has("backbone.serial_blocks"):
        return dict(type="ViDTCoaT", arch=_named(_coat_arch(shapes), coat_lite.ARCHS), **tokens)
    return dict(type="ViDTSwinTransformer", arch=_named(_swin_arch(shapes), ram_swin.ARCHS), **tokens)


def _swin_arch(shapes: Shapes) -> dict[str, Any]:
    published = ram_swin.ARCHS["nano"]
    depths = [shapes.count(rf"backbone\.stages\.{stage}\.blocks\.(\d+)\.") for stage in STAGES]
    return dict(
        embed_dims=shapes.size("backbone.patch_embed.projection.weight", 0, published["embed_dims"]),
        depths=tuple(depth or other for depth, other in zip(depths, published["depths"], strict=True)),
        num_heads=tuple(shapes.size(_TABLE.format(stage), 1, published["num_heads"][stage]) for stage in STAGES),
        drop_path_rate=0.0,
    )


def _coat_arch(shapes: Shapes) -> dict[str, Any]:
    published, numbers = coat_lite.ARCHS["tiny"], [stage + 1 for stage in STAGES]
    widths = tuple(
        shapes.size(f"backbone.patch_embed{number}.proj.weight", 0, width)
        for number, width in zip(numbers, published["embed_dims"], strict=True)
    )
    depths = [shapes.count(rf"backbone\.serial_blocks{number}\.(\d+)\.") for number in numbers]
    hidden = [shapes.size(f"backbone.serial_blocks{number}.0.mlp.fc1.bias", 0, 0) for number in numbers]
    return dict(
        embed_dims=widths,
        depths=tuple(depth or other for depth, other in zip(depths, published["depths"], strict=True)),
        mlp_ratios=tuple(
            inner // width or other for inner, width, other in zip(hidden, widths, published["mlp_ratios"], strict=True)
        ),
    )


def _named(found: dict[str, Any], archs: Mapping[str, Mapping[str, Any]]) -> str | dict[str, Any]:
    """Return the name of the arch that has these sizes, or else the sizes."""
    same = (
        name
        for name, arch in archs.items()
        if all(arch[key] == value for key, value in found.items() if key != "drop_path_rate")
    )
    return next(same, found)
