"""Official checkpoints to ours and back.

Official files are those of xiuqhou/Relation-DETR @ b485955: a bare state dict or one under ``model``, of Relation-DETR
with any of the four backbones or of a ``++`` model. Ours have mmdet's names. What changes beside the names: the inputs'
order in Swin's patch merging, the shape of ConvNeXt's layer scales, and the numbers of a decoder layer's norms, which
here follow their use. ``_classes_``, the class names as character codes, become the ``dataset_meta``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mm_relation_detr.backbone_keys import convnext_rules, focalnet_rules, resnet_rules, swin_rules
from mm_relation_detr.checkpoint_sizes import model_settings
from mm_relation_detr.class_rows import keep_rows, used_ids
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, Rename, convert, differences, strip_wrappers
from mmrepro.detection.class_space import UNUSED

CLASSES = "_classes_"
_SEPARATOR = -1

_OFFICIAL = re.compile(
    rf"(transformer|denoising_generator|backbone\.[01]|backbone\.features|neck\.convs\.\d+\.\d+)\..+|{CLASSES}"
)

# In this order: what is not a Swin's or a ConvNeXt's below these names is a FocalNet's.
_FAMILIES = {
    "swin": re.compile(r"backbone\.(0\.features|stages\.\d+\.(blocks|downsample)|patch_embed\.projection)\."),
    "convnext": re.compile(r"backbone\.(features|downsample_layers|stages)\."),
    "focalnet": re.compile(r"backbone\.(0|1|layers|patch_embed|norm\d)\."),
}

_ENCODER = {"norm1": "norms.0", "norm2": "norms.1", "linear1": "ffn.layers.0.0", "linear2": "ffn.layers.1"}
# The official names of a decoder layer's norms are not in the order of their use: norm2 follows the self-attention.
_DECODER = _ENCODER | {"norm2": "norms.0", "norm1": "norms.1", "norm3": "norms.2", "self_attn": "self_attn.attn"}
_WHOLE = {
    "transformer.level_embeds": "level_embed",
    "transformer.encoder.layers.{i}.self_attn.*": "encoder.layers.{i}.self_attn.*",
    "transformer.encoder.memory_fusion.*": "encoder.memory_fusion.*",
    "transformer.decoder.layers.{i}.cross_attn.*": "decoder.layers.{i}.cross_attn.*",
    "transformer.decoder.class_head.{i}.*": "bbox_head.cls_branches.{i}.*",
    "transformer.hybrid_class_head.*": "bbox_head.hybrid_cls_branch.*",
    "transformer.hybrid_tgt_embed.*": "hybrid_query_embedding.*",
    "transformer.enc_output.*": "memory_trans_fc.*",
    "transformer.enc_output_norm.*": "memory_trans_norm.*",
    "transformer.pos_trans.*": "pos_trans_fc.*",
    "transformer.pos_trans_norm.*": "pos_trans_norm.*",
    "transformer.tgt_embed.*": "query_embedding.*",
    "transformer.refpoint_embed.*": "reference_embedding.*",
    "denoising_generator.label_encoder.*": "dn_query_generator.label_embedding.*",
    **{
        f"transformer.decoder.{name}.*": f"decoder.{name}.*"
        for name in ("ref_point_head", "query_scale", "norm", "position_relation_embedding")
    },
}


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(_OFFICIAL.fullmatch(key) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
    *,
    hybrid: bool = True,
    contiguous: bool = False,
) -> dict[str, Tensor]:
    """Return our state dict for an official one.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.
        hybrid: keep what the hybrid branch has of its own; predicting does not need it.
        contiguous: keep the rows of the classes alone, in their order, instead of one row per raw category id.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
        ValueError: the file does not say which rows are those of classes.
    """
    state = strip_wrappers(state, source)
    rules = _rules_of(state, hybrid)
    if not contiguous:
        return convert(state, rules, target, source)
    ours = convert(state, rules, source=source)
    sliced = keep_rows(ours, used_ids(ours, class_names(state), source))
    problems = {} if target is None else differences(sliced, target)
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    return sliced


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official state dict for one of ours, index tables of Swin included; class rows stay as they are.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return _rules_of(state).backward(state)


def official_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the official name of each of our parameters, for rules that go by official names.

    Args:
        keys: the names of one model's parameters. All of them: the encoder's head is numbered after the decoder's
            layers here, and an extra level of the neck after the backbone's maps there.

    Raises:
        CheckpointMismatchError: a name that no official model has; buffers have none.
    """
    tensors = {key: torch.empty(0, device="meta") for key in keys}
    rules = _rules_of(tensors)
    plain = KeyRules([Rename(rule.sides[0][0], rule.sides[1][0]) for rule in rules.rules if not isinstance(rule, Drop)])
    ours = {id(tensor): key for key, tensor in tensors.items()}
    return {ours[id(tensor)]: name for name, tensor in plain.backward(tensors).items()}


def class_names(state: Mapping[str, Tensor], contiguous: bool = False) -> list[str] | None:
    """Return the class names that an official file carries, one per raw category id, ``none`` for unused ids.

    Args:
        state: the official state dict, or another, which has no names.
        contiguous: leave out unused ids, as :func:`from_official` leaves out their rows.

    Returns:
        None where it carries none.
    """
    if CLASSES not in state or state[CLASSES].is_meta:
        return None
    names, name = [], ""
    for code in state[CLASSES].tolist():
        if code == _SEPARATOR:
            names.append(name)
            name = ""
        else:
            name += chr(code)
    if name:
        names.append(name)
    return [one for one in names if one != UNUSED] if contiguous else names


def infer_config(
    state: Mapping[str, Tensor], *, hybrid: bool = True, contiguous: bool = False
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the detector, in either layout, however incomplete.

    Class names that an official file carries are under ``dataset_meta``.

    Args:
        state: a state dict.
        hybrid, contiguous: see :func:`from_official`.
    """
    official = is_official(state)
    ours = _rules_of(state, hybrid).known(state) if official else dict(state)
    if official and contiguous:
        ours = keep_rows(ours, used_ids(ours, class_names(state)))
    names = class_names(state, contiguous)
    meta = {} if names is None else {"dataset_meta": {"classes": names}}
    return {"model": model_settings(ours)} | meta


def target(state: Mapping[str, Tensor], *, hybrid: bool = True, contiguous: bool = False) -> nn.Module:
    """Return the detector, on the meta device, that has the sizes of a state dict in either layout, in our layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        hybrid, contiguous: see :func:`from_official`.
    """
    # whatever scope another library's model has left
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(infer_config(state, hybrid=hybrid, contiguous=contiguous)["model"])


def _rules_of(state: Mapping[str, Tensor], hybrid: bool = True) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    layers = _numbers(state, r"(?:transformer\.)?decoder\.layers\.(\d+)\..+") or _numbers(
        state, r"(?:transformer\.decoder\.class_head|bbox_head\.cls_branches)\.(\d+)\..+"
    )
    maps = _numbers(state, r"neck\.convs\.(\d+)\.conv\..+")
    extra = [len(maps) + number for number in _numbers(state, r"neck\.extra_convs\.(\d+)\..+")]
    for number in _numbers(state, r"neck\.convs\.(\d+)\.0\..+"):
        weight = state.get(f"neck.convs.{number}.0.weight")
        (extra if weight is not None and weight.shape[-1:] == (3,) else maps).append(number)
    return _rules(_backbone_of(state), tuple(maps), tuple(extra), len(layers), hybrid)


def _numbers(state: Iterable[str], pattern: str) -> list[int]:
    found = (re.fullmatch(pattern, key) for key in state)
    return sorted({int(match[1]) for match in found if match})


def _backbone_of(state: Iterable[str]) -> str:
    """Return the family of the backbone, by what its layers are called in either layout."""
    keys = [key for key in state if key.startswith("backbone.")]
    found = (name for name, pattern in _FAMILIES.items() if any(pattern.match(key) for key in keys))
    return next(found, "resnet")


@cache
def _rules(backbone: str, maps: tuple[int, ...], extra: tuple[int, ...], decoder_layers: int, hybrid: bool) -> KeyRules:
    """Return the rules of one kind of detector.

    Args:
        backbone: its family.
        maps, extra: official numbers of the neck's convolutions on the backbone's maps, and of those of extra levels.
        decoder_layers: how many; the encoder's head follows them.
        hybrid: keep the hybrid branch.
    """
    rules: list[Rename | Drop] = [Drop(CLASSES, "decoded into the dataset_meta")]
    if not hybrid:
        names = ("class_head", "bbox_head", "tgt_embed")
        rules += [Drop(f"transformer.hybrid_{name}.*", "of use in training alone") for name in names]
    rules += {
        "resnet": lambda: resnet_rules("backbone.", "backbone."),
        "swin": lambda: swin_rules("backbone.0.", "backbone."),
        "convnext": lambda: convnext_rules("backbone.", "backbone."),
        "focalnet": lambda: [
            *focalnet_rules("backbone.0.", "backbone."),
            *(Rename(f"backbone.1.norm{stage}.*", f"backbone.norm{stage}.*") for stage in range(4)),
        ],
    }[backbone]()
    convs = {number: f"neck.convs.{number}" for number in maps}
    convs |= {number: f"neck.extra_convs.{number - len(maps)}" for number in extra}
    for number, conv in convs.items():
        rules += [
            Rename(f"neck.convs.{number}.0.*", f"{conv}.conv.*"),
            Rename(f"neck.convs.{number}.1.*", f"{conv}.gn.*"),
        ]
    # before the decoder's heads: on the way back their patterns would take the encoder's as well
    rules += _heads("transformer.encoder_class_head", "transformer.encoder_bbox_head", str(decoder_layers))
    rules += _box_head("transformer.decoder.bbox_head.{i}", "bbox_head.reg_branches.{i}")
    rules += _box_head("transformer.hybrid_bbox_head", "bbox_head.hybrid_reg_branch")
    rules += [
        Rename(f"transformer.{part}.layers.{{i}}.{theirs}.*", f"{part}.layers.{{i}}.{ours}.*")
        for part, names in (("encoder", _ENCODER), ("decoder", _DECODER))
        for theirs, ours in names.items()
    ]
    rules += [Rename(theirs, ours) for theirs, ours in _WHOLE.items()]
    return KeyRules(rules)


def _heads(class_head: str, box_head: str, number: str) -> list[Rename]:
    return [
        Rename(f"{class_head}.*", f"bbox_head.cls_branches.{number}.*"),
        *_box_head(box_head, f"bbox_head.reg_branches.{number}"),
    ]


def _box_head(theirs: str, ours: str) -> list[Rename]:
    """Return the rules of a box head: officially a list of layers, here a sequence with activations between them."""
    return [Rename(f"{theirs}.layers.{layer}.*", f"{ours}.{2 * layer}.*") for layer in range(3)]
