"""The settings of a network that the shapes of its weights show: :func:`mm_vit_comer.checkpoint.infer_config`.

A state dict may be incomplete or misshapen: where a shape is absent or makes no sense, the published value stands, so
that the network that is built from the settings names the keys at fault. Published sizes: arXiv 2403.07392 and the
configs of Traffic-X/ViT-CoMer @ b57f386 and @ 8f2207f.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_vit_comer.models.vit_comer import ARCH_DEFAULTS, ARCHS
from mm_vit_comer.pretrained_resize import window_of

PARTS = ("backbone", "neck", "rpn_head", "roi_head", "bbox_head", "decode_head", "auxiliary_head")
_SINGLE_STAGE = {"atss": "ATSSHead", "gfl": "GFLHead"}  # by the first word of their keys
_QUERIES_CLASSES = "bbox_head.cls_branches."  # of DINO's head: each decoder layer's and the encoder's

_HEAD_WIDTH = 64  # channels of an attention head in every published trunk
_PATCH = 16
_LEVELS, _POINTS = 3, 4
_ANCHORS, _MOST_ANCHORS = 3, 64
_INITIALS = {"tiny": "T", "small": "S", "base": "B", "large": "L"}
# What a table of this many entries would cost is no reason to build it: published windows have 14 and 56 tokens.
_LARGEST_WINDOW = 128


class Shapes:
    """The shapes of a state dict in our layout, read without trusting them.

    Args:
        state: a state dict.
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

    def count(self, pattern: str, default: int) -> int:
        """Return one more than the largest number in keys that begin so; a number far out of line is not believed."""
        found = {int(match[1]) for key in self.shapes if (match := re.match(pattern, key))}
        highest = max(found, default=-1) + 1
        return (highest if highest <= 2 * len(found) else len(found)) or default


def model_settings(state: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return the settings of each part that a state dict in our layout has weights of: ``{"backbone": {...}, ...}``.

    A ``bbox_head`` of another kind than ATSS, GFL and DINO is left out.
    """
    shapes = Shapes(state)
    readers = {
        "backbone": _backbone,
        "neck": _neck,
        "rpn_head": _rpn_head,
        "roi_head": _roi_head,
        "bbox_head": _bbox_head,
        "decode_head": _decode_head,
        "auxiliary_head": _auxiliary_head,
    }
    known = (*(f"bbox_head.{name}_cls." for name in _SINGLE_STAGE), _QUERIES_CLASSES)
    unread = () if any(shapes.has(name) for name in known) else ("bbox_head",)
    return {part: read(shapes) for part, read in readers.items() if shapes.has(f"{part}.") and part not in unread}


def variant_of(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what people call a network of these settings: ``ViT-CoMer-S for detection (Mask R-CNN, 80 classes)``."""
    backbone = settings.get("backbone")
    heads = heads_of(settings)
    head = "" if heads is None else f" ({heads}, {_classes(settings)} classes)"
    if backbone is None:
        return f"heads without a backbone{head}"
    name = "ViT-CoMer" if backbone["type"] == "ViTCoMer" else "plain ViT"
    arch = backbone.get("arch", {key: backbone.get(key) for key in ("embed_dim", "depth", "num_heads")})
    size = arch if isinstance(arch, str) else next((key for key, sizes in ARCHS.items() if sizes == arch), None)
    size = f"-{_INITIALS[size]}" if size else f" of width {arch['embed_dim']} with {arch['depth']} blocks"
    trunk = " on BEiT" if backbone.get("trunk") == "beit" else ""
    uses = {"det": " for detection", "seg": " for segmentation", "co-detr": " for Co-DETR"}
    # with BEiT's blocks and any detector's heads the backbone is Co-DETR's
    use = "det" if heads and backbone.get("variant") == "co-detr" else backbone.get("variant")
    return f"{name}{size}{trunk}{uses.get(use, '')}{head}"


def heads_of(settings: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what people call the heads of these settings, ``Mask R-CNN``; None where there are none."""
    decode, roi, single = settings.get("decode_head"), settings.get("roi_head"), settings.get("bbox_head")
    if decode is not None:
        return "UPerNet" if decode["type"].endswith("UPerHead") else "Mask2Former"
    if single is not None:
        name = single["type"].removeprefix("mmdet.").removesuffix("Head")
        return "Co-DETR" if name == "DINO" and roi is not None else name  # which has Faster R-CNN's in training
    if roi is not None:
        name = "Mask R-CNN" if "mask_head" in roi else "Faster R-CNN"
        return f"Cascade {name}" if isinstance(roi["bbox_head"], list) else name
    return None


def _classes(settings: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the number of classes of the heads that :func:`heads_of` names."""
    for part in ("decode_head", "bbox_head"):
        if part in settings:
            return settings[part]["num_classes"]
    boxes = settings["roi_head"]["bbox_head"]
    return (boxes[0] if isinstance(boxes, list) else boxes)["num_classes"]


def _backbone(shapes: Shapes) -> dict[str, Any]:
    prefix = "backbone."
    dim = shapes.size(f"{prefix}patch_embed.proj.weight", 0, 0) or shapes.size(f"{prefix}blocks.0.norm1.weight", 0, 384)
    depth = shapes.count(r"backbone\.blocks\.(\d+)\.", 12)
    beit = any(re.match(r"backbone\.blocks\.\d+\.attn\.q_bias", key) for key in shapes.shapes)
    table = "attn.relative_position_bias_table"
    heads = shapes.size(f"{prefix}blocks.0.{table}", 1, max(dim // _HEAD_WIDTH, 1))
    if dim % heads:
        heads = 1
    sizes: dict[str, Any] = {"embed_dim": dim, "depth": depth, "num_heads": heads}
    hidden = shapes.size(f"{prefix}blocks.0.mlp.fc1.weight", 0, 4 * dim)
    ratio = {} if hidden == 4 * dim else {"mlp_ratio": _ratio(hidden, dim)}
    # one row is the class token's, which DINOv2's and DeiT's tables have and BEiT's for Co-DETR have not
    rows = shapes.size(f"{prefix}pos_embed", 1, 0) - (not beit)
    position = math.isqrt(max(rows, 0)) * _PATCH or None
    if not shapes.has(f"{prefix}spm.") and not shapes.has(f"{prefix}interactions.") and shapes.has(f"{prefix}up1."):
        # which blocks the maps come from shows in no shape: each quarter's last
        ends = {} if depth < 4 else {"out_indices": tuple((k + 1) * depth // 4 - 1 for k in range(4))}
        return {"type": "ViTBaseline"} | sizes | ratio | {"pretrain_size": position or 224} | ends
    found: dict[str, Any] = {"type": "ViTCoMer", "arch": sizes | ratio}
    found["arch"] = next((name for name, known in ARCHS.items() if known == found["arch"]), found["arch"])
    found |= {"trunk": "beit" if beit else "vit", "pretrain_size": position}
    if not beit and position is None:
        found["pretrain_size"] = 224
    maps = tuple(k for k in range(4) if shapes.has(f"{prefix}norm{k + 1}."))
    if maps:
        found["out_indices"] = maps
    found |= _interactions(shapes, dim, found["arch"])
    found["variant"] = _variant(shapes, beit, found["mrfp_ratio"])
    if beit:
        sides = [window_of(shapes.size(f"{prefix}blocks.{i}.{table}", 0, 0)) or 14 for i in range(depth)]
        sides = [min(side, _LARGEST_WINDOW) for side in sides]
        # Tables of windows and of whole images look the same. Of all published networks the segmentor alone has no
        # windows, and then all its tables have one size.
        whole = found["variant"] == "seg" and len(set(sides)) == 1
        found["window_attn"] = not whole
        found |= {"img_size": sides[0] * _PATCH} if whole else {"window_size": sides}
        if not shapes.has(f"{prefix}blocks.0.gamma_1"):
            found["init_values"] = 0.0
    return found


def _interactions(shapes: Shapes, dim: int, arch: str | Mapping[str, Any]) -> dict[str, Any]:
    prefix = "backbone.interactions"
    count = shapes.count(r"backbone\.interactions\.(\d+)\.", 4)
    # every exchange that samples has one of these, whichever switches are off
    attention = next(
        (
            name
            for k in range(count)
            for name in (f"{prefix}.{k}.cti_tov.attn", f"{prefix}.{k}.cti_toc.cfinter.attn")
            if f"{name}.value_proj.weight" in shapes.shapes
        ),
        f"{prefix}.0.cti_tov.attn",
    )
    defaults = ARCH_DEFAULTS[arch if isinstance(arch, str) else "dict"]
    offsets = shapes.size(f"{attention}.sampling_offsets.weight", 0, 0)
    heads = offsets // (2 * _LEVELS * _POINTS) or defaults["deform_num_heads"]
    values = shapes.size(f"{attention}.value_proj.weight", 0, int(defaults["deform_ratio"] * dim))
    ffn = attention.removesuffix("attn") + "ffn.fc1.weight"
    found = {
        "mrfp_ratio": _ratio(shapes.size(f"{prefix}.0.mrfp.fc1.weight", 0, dim // 2), dim),
        "conv_inplane": shapes.size("backbone.spm.stem.0.weight", 0, 64),
        "deform_num_heads": heads if dim % heads == 0 and values % heads == 0 else 1,
        "deform_ratio": _ratio(values, dim),
        "cffn_ratio": _ratio(shapes.size(ffn, 0, dim // 4), dim),
        "use_cti_to_v": [shapes.has(f"{prefix}.{k}.cti_tov.") for k in range(count)],
        "use_cti_to_c": [shapes.has(f"{prefix}.{k}.cti_toc.") for k in range(count)],
        "cnn_feature_interaction": [shapes.has(f"{prefix}.{k}.cti_toc.cfinter.") for k in range(count)],
        "extra_num": shapes.count(rf"backbone\.interactions\.{count - 1}\.extra_CTIs\.(\d+)\.", 0),
    }
    if not any(found["use_cti_to_v"] + found["use_cti_to_c"]):  # not a word of them: as published
        found |= {name: [True] * count for name in ("use_cti_to_v", "use_cti_to_c", "cnn_feature_interaction")}
    depth = shapes.count(r"backbone\.blocks\.(\d+)\.", 12)
    if count != 4 or depth % 4:
        edges = [k * depth // count for k in range(count + 1)]
        found["interaction_indexes"] = [[edges[k], edges[k + 1] - 1] for k in range(count)]
    return found


def _variant(shapes: Shapes, beit: bool, mrfp_ratio: float) -> str:
    """Return which of the three published networks it is; of a lone backbone by the width of its MRFP."""
    if shapes.has("decode_head."):
        return "seg"
    if shapes.has("rpn_head.") or shapes.has("bbox_head."):
        return "co-detr" if beit else "det"
    if beit:
        return "co-detr"
    return "det" if mrfp_ratio == 0.5 else "seg"


def _neck(shapes: Shapes) -> dict[str, Any]:
    if shapes.has("neck.p2."):
        return {
            "type": "SFPWithLateral",
            "in_channels": max(shapes.size("neck.fc11.weight", 1, 1024) // 4, 1) * 4,
            "out_channels": shapes.size("neck.fc11.weight", 0, 256),
        }
    maps = range(shapes.count(r"neck\.lateral_convs\.(\d+)\.", 4))
    found = {
        "type": "mmdet.FPN",
        "in_channels": [shapes.size(f"neck.lateral_convs.{i}.conv.weight", 1, 384) for i in maps],
        "out_channels": shapes.size("neck.lateral_convs.0.conv.weight", 0, 256),
        "num_outs": 5,
    }
    outputs = shapes.count(r"neck\.fpn_convs\.(\d+)\.", len(maps))
    if outputs > len(maps):
        # the first further map is made of the last input where that is as wide, and of the last output otherwise
        read = shapes.size(f"neck.fpn_convs.{len(maps)}.conv.weight", 1, found["out_channels"])
        found["add_extra_convs"] = "on_output" if read == found["out_channels"] else "on_input"
        found["num_outs"] = outputs
    return found


def _rpn_head(shapes: Shapes) -> dict[str, Any]:
    channels = shapes.size("rpn_head.rpn_conv.weight", 0, 256)
    anchors = shapes.size("rpn_head.rpn_cls.weight", 0, _ANCHORS)
    if anchors > _MOST_ANCHORS:
        anchors = _ANCHORS
    ratios, scales = ([1.0], anchors) if anchors % _ANCHORS else ([0.5, 1.0, 2.0], anchors // _ANCHORS)
    return {
        "type": "mmdet.RPNHead",
        "in_channels": shapes.size("rpn_head.rpn_conv.weight", 1, 256),
        "feat_channels": channels,
        "anchor_generator": dict(
            type="AnchorGenerator", scales=[8 + k for k in range(scales)], ratios=ratios, strides=[4, 8, 16, 32, 64]
        ),
    }


def _roi_head(shapes: Shapes) -> dict[str, Any]:
    stages = shapes.count(r"roi_head\.bbox_head\.(\d+)\.", 0)  # of a cascade, whose heads are numbered
    names = [f".{k}" for k in range(stages)] or [""]
    boxes = [_box_stage(shapes, f"roi_head.bbox_head{name}") for name in names]
    found: dict[str, Any] = {
        "type": "mmdet.CascadeRoIHead" if stages else "mmdet.StandardRoIHead",
        "bbox_roi_extractor": _extractor(7, boxes[0]["in_channels"]),
        "bbox_head": boxes if stages else boxes[0],
    }
    if stages:
        found |= {"num_stages": stages, "stage_loss_weights": [1.0] * stages}  # no weight depends on these
    if shapes.has("roi_head.mask_head."):
        classes = boxes[0]["num_classes"]
        masks = [_mask_stage(shapes, f"roi_head.mask_head{name}", classes) for name in names]
        found["mask_roi_extractor"] = _extractor(14, boxes[0]["in_channels"])
        found["mask_head"] = masks if stages else masks[0]
    return found


def _box_stage(shapes: Shapes, name: str) -> dict[str, Any]:
    classes = max(shapes.size(f"{name}.fc_cls.weight", 0, 81) - 1, 1)
    regressed = shapes.size(f"{name}.fc_reg.weight", 0, 4 * classes)
    return dict(
        type="Shared2FCBBoxHead",
        in_channels=shapes.size(f"{name}.shared_fcs.0.weight", 1, 256 * 49) // 49 or 256,
        fc_out_channels=shapes.size(f"{name}.shared_fcs.0.weight", 0, 1024),
        num_classes=classes,
        reg_class_agnostic=regressed == 4 and classes > 1,
    )


def _mask_stage(shapes: Shapes, name: str, classes: int) -> dict[str, Any]:
    return dict(
        type="FCNMaskHead",
        num_convs=shapes.count(rf"{re.escape(name)}\.convs\.(\d+)\.", 4),
        in_channels=shapes.size(f"{name}.convs.0.conv.weight", 1, 256),
        conv_out_channels=shapes.size(f"{name}.convs.0.conv.weight", 0, 256),
        num_classes=shapes.size(f"{name}.conv_logits.weight", 0, classes),
    )


def _bbox_head(shapes: Shapes) -> dict[str, Any]:
    """Return the settings of a head of a single stage, ATSS's or GFL's with an anchor at each place, or DINO's."""
    if shapes.has(_QUERIES_CLASSES):
        return {
            "type": "mmdet.DINOHead",
            "num_classes": shapes.size(f"{_QUERIES_CLASSES}0.weight", 0, 80),
            "embed_dims": shapes.size(f"{_QUERIES_CLASSES}0.weight", 1, 256),
            "num_pred_layer": shapes.count(rf"{re.escape(_QUERIES_CLASSES)}(\d+)\.", 7),
            "as_two_stage": True,
            "loss_cls": dict(type="QualityFocalLoss", use_sigmoid=True),
        }
    name = next(one for one in _SINGLE_STAGE if shapes.has(f"bbox_head.{one}_cls."))
    channels = shapes.size("bbox_head.cls_convs.0.conv.weight", 0, 256)
    levels = shapes.count(r"bbox_head\.scales\.(\d+)\.", 5)
    found: dict[str, Any] = {
        "type": f"mmdet.{_SINGLE_STAGE[name]}",
        "num_classes": shapes.size(f"bbox_head.{name}_cls.weight", 0, 80),
        "in_channels": shapes.size("bbox_head.cls_convs.0.conv.weight", 1, 256),
        "feat_channels": channels,
        "stacked_convs": shapes.count(r"bbox_head\.cls_convs\.(\d+)\.", 4),
        "norm_cfg": dict(type="GN", num_groups=math.gcd(32, channels)),
        "anchor_generator": dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8 * 2**k for k in range(levels)],
        ),
        # without a sigmoid a class more would be counted
        "loss_cls": dict(type="FocalLoss", use_sigmoid=True),
    }
    if name == "atss":
        return found | {"bbox_coder": dict(type="DeltaXYWHBBoxCoder")}
    reach = shapes.size("bbox_head.gfl_reg.weight", 0, 68) // 4 - 1
    return found | {"reg_max": max(reach, 1), "loss_cls": dict(type="QualityFocalLoss", use_sigmoid=True)}


def _extractor(size: int, channels: int) -> dict[str, Any]:
    return dict(
        type="SingleRoIExtractor",
        roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=0),
        out_channels=channels,
        featmap_strides=[4, 8, 16, 32],
    )


def _decode_head(shapes: Shapes) -> dict[str, Any]:
    if shapes.has("decode_head.pixel_decoder."):
        return _mask2former(shapes)
    channels = shapes.size("decode_head.bottleneck.conv.weight", 0, 512)
    laterals = shapes.count(r"decode_head\.lateral_convs\.(\d+)\.", 3)
    inner = [shapes.size(f"decode_head.lateral_convs.{i}.conv.weight", 1, 192) for i in range(laterals)]
    return {
        "type": "mmseg.UPerHead",
        "in_channels": [*inner, shapes.size("decode_head.psp_modules.0.1.conv.weight", 1, inner[-1])],
        "in_index": list(range(laterals + 1)),
        "pool_scales": (1, 2, 3, 6)[: shapes.count(r"decode_head\.psp_modules\.(\d+)\.", 4)],
        "channels": channels,
        "num_classes": shapes.size("decode_head.conv_seg.weight", 0, 150),
        "norm_cfg": dict(type="SyncBN"),
    }


def _auxiliary_head(shapes: Shapes) -> dict[str, Any]:
    return {
        "type": "mmseg.FCNHead",
        "in_channels": shapes.size("auxiliary_head.convs.0.conv.weight", 1, 192),
        "in_index": 2,
        "channels": shapes.size("auxiliary_head.convs.0.conv.weight", 0, 256),
        "num_convs": shapes.count(r"auxiliary_head\.convs\.(\d+)\.", 1),
        "concat_input": shapes.has("auxiliary_head.conv_cat."),
        "num_classes": shapes.size("auxiliary_head.conv_seg.weight", 0, 150),
        "norm_cfg": dict(type="SyncBN"),
    }


def _mask2former(shapes: Shapes) -> dict[str, Any]:
    pixel, decoder = "decode_head.pixel_decoder", "decode_head.transformer_decoder"
    dims = shapes.size("decode_head.query_feat.weight", 1, 1024)
    classes = max(shapes.size("decode_head.cls_embed.weight", 0, 172) - 1, 1)
    inputs = shapes.count(rf"{re.escape(pixel)}\.input_convs\.(\d+)\.", _LEVELS)
    offsets = shapes.size(f"{pixel}.encoder.layers.0.self_attn.sampling_offsets.weight", 0, 0)
    heads = offsets // (2 * inputs * _POINTS) or 32
    heads = heads if dims % heads == 0 else 1
    widths = [shapes.size(f"{pixel}.input_convs.{i}.conv.weight", 1, 1024) for i in reversed(range(inputs))]

    def ffn(name: str) -> dict[str, Any]:
        hidden = shapes.size(f"{name}.layers.0.ffn.layers.0.0.weight", 0, 4096)
        return dict(embed_dims=dims, feedforward_channels=hidden, num_fcs=2)

    attention = dict(embed_dims=dims, num_heads=heads, batch_first=True)
    return {
        "type": "mmseg.Mask2FormerHead",
        "in_channels": [shapes.size(f"{pixel}.lateral_convs.0.conv.weight", 1, 1024), *widths],
        "strides": [4, 8, 16, 32],
        "feat_channels": dims,
        "out_channels": shapes.size(f"{pixel}.mask_feature.weight", 0, 1024),
        "num_classes": classes,
        "num_queries": shapes.size("decode_head.query_feat.weight", 0, 200),
        "num_transformer_feat_level": shapes.size("decode_head.level_embed.weight", 0, _LEVELS),
        "pixel_decoder": dict(
            type="mmdet.MSDeformAttnPixelDecoder",
            num_outs=inputs,
            norm_cfg=dict(type="GN", num_groups=math.gcd(32, dims)),
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                num_layers=shapes.count(rf"{re.escape(pixel)}\.encoder\.layers\.(\d+)\.", 6),
                layer_cfg=dict(
                    self_attn_cfg=attention | dict(num_levels=inputs, num_points=_POINTS),
                    ffn_cfg=ffn(f"{pixel}.encoder"),
                ),
            ),
            positional_encoding=dict(num_feats=dims // 2, normalize=True),
        ),
        "enforce_decoder_input_project": shapes.has("decode_head.decoder_input_projs."),
        "positional_encoding": dict(num_feats=dims // 2, normalize=True),
        "transformer_decoder": dict(
            return_intermediate=True,
            num_layers=shapes.count(rf"{re.escape(decoder)}\.layers\.(\d+)\.", 9),
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn(decoder)),
        ),
        "loss_cls": dict(type="mmdet.CrossEntropyLoss", class_weight=[1.0] * classes + [0.1]),
        "loss_mask": dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True),
        "loss_dice": dict(type="mmdet.DiceLoss", use_sigmoid=True, activate=True),
    }


def _ratio(part: int, whole: int) -> float:
    """Return the ratio that the constructor, which cuts off what follows the point, turns into ``part``."""
    ratio = part / whole
    return ratio if int(ratio * whole) == part else (part + 0.5) / whole
