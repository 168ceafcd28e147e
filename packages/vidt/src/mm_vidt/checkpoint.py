"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files are those of naver-ai/vidt: branch vidt-plus @ a8c48b5 and branch main @ 5207d04. A training writes
``{model, optimizer, lr_scheduler, epoch, args}``, with distillation the student's weights alone. Ours have mmdet's
names where its modules are used. What changes beside the names: the numbers of a decoder layer's norms, which here
follow their use; second names of one tensor, which are compared with the first and left out; and parameters that the
official code has and never uses (:mod:`mm_vidt.unused_keys`), which are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, partial
from math import isqrt
from typing import Any, Literal

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mm_vidt.checkpoint_sizes import model_settings, shares_levels, variant_of
from mm_vidt.class_rows import RAW_ROWS, has_raw_rows, to_contiguous, to_raw
from mm_vidt.models.body_keys import coat_rules, swin_rules
from mm_vidt.models.coat_lite import ViDTCoaT
from mm_vidt.unused_keys import UNUSED
from mmrepro.checkpoint import (
    Alias,
    CheckpointMismatchError,
    Drop,
    KeyRules,
    Rename,
    convert,
    differences,
    strip_wrappers,
)
from mmrepro.detection.class_space import COCO_IDS, coco_names
from mmrepro.detection.class_space import UNUSED as NO_CLASS
from mmrepro.model_settings import require_same_settings, stored_settings
from mmrepro.ops.windows import relative_position_index
from mmrepro.safe_loading import source_of

Heads = Literal["all", "masks", "boxes"]

_OFFICIAL = re.compile(
    r"(transformer|(class|bbox|iou|vector)_embed|fusion|input_proj\.\d+\.\d+|backbone\.layers|backbone\.patch_embed\.proj)"
    r"\..+"
)
_IMAGENET = re.compile(r"(layers\.\d+\.blocks\.\d+\.attn|serial_blocks\d+\.\d+\.factoratt_crpe)\..+")
_REFINED = "transformer.decoder.bbox_embed."  # box branches have this second name if each level has its own
_INDEX = "backbone.layers.{s}.blocks.{b}.attn.relative_position_index"
# The official names of a decoder layer's norms are not in the order of their use: norm2 follows the self-attention.
_LAYER = {
    "norm2": "norms.0",
    "norm1": "norms.1",
    "norm3": "norms.2",
    "linear1": "ffn.layers.0.0",
    "linear2": "ffn.layers.1",
    "self_attn": "self_attn.attn",
    "cross_attn": "cross_attn",
}
_PERCEPTRONS = {
    "bbox_embed.{l}": "bbox_head.reg_branches.{l}",
    "iou_embed.{l}": "bbox_head.iou_branches.{l}",
    "vector_embed.0": "bbox_head.vector_branch",
    "class_embed": "bbox_head.cls_branch",  # these two are neck-free
    "bbox_embed": "bbox_head.reg_branch",
}
_TOKEN_PARTS = ("enc_output", "enc_output_norm", "token_embed")
_SHARED = re.compile(r"(class_embed|bbox_embed|iou_embed)\.(\d+)\.(.+)")  # without box refinement, by all levels
# Heads that are there beside classes and boxes, by their settings.
OPTIONAL_HEADS = {
    "with_vector": ("vector_branch.",),
    "iou_aware": ("iou_branches.",),
    "token_label": ("token_embed.", "enc_output.", "enc_output_norm."),
}
TRAINING_HEADS = ("iou_aware", "token_label")  # prediction uses neither
_KEPT_HEADS = {"all": tuple(OPTIONAL_HEADS), "masks": ("with_vector",), "boxes": ()}

# These show in no weight: a checkpoint of ours carries them in its meta.
_INVISIBLE = {
    "backbone": ("cross_stages",),
    "decoder": ("num_heads", "num_points"),
    "bbox_head": ("with_box_refine", "labels", "gt_mask_len"),
}
_WITNESSES = (("backbone.det_token",), ("bbox_head.cls_branches.0.bias", "bbox_head.cls_branch.4.bias"))
_DERIVED = ("neck.in_channels",)  # follows from the body


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(_OFFICIAL.fullmatch(key) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
    *,
    contiguous: bool = False,
    num_layers: int | None = None,
    heads: Heads = "all",
) -> dict[str, Tensor]:
    """Return our state dict for an official one.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.
        contiguous: keep the rows of COCO's 80 classes alone, in their order, instead of the 91 of raw category ids.
        num_layers: keep as many decoder layers and the heads of the levels up to the last of them, "decoding layer
            drop"; None keeps all.
        heads: ``masks`` leaves out those of training alone (overlaps and token labels), ``boxes`` also mask vectors.

    Raises:
        CheckpointMismatchError: a key is not accounted for; second names of one tensor hold different ones; an index
            table orders a bias table's rows otherwise; there are fewer layers, or not the rows of COCO.
    """
    state = strip_wrappers(state, source)
    problems = {
        "index tables that are not the official ones": _odd_indices(state),
        "differ from the tensor that they are a second name of": _odd_levels(state),
    }
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    rules = _rules_of(state)
    if not contiguous and num_layers is None and heads == "all":
        return convert(state, rules, target, source)
    ours = reduced(convert(state, rules, source=source), num_layers, heads, source)
    if contiguous:
        ours = to_contiguous(ours, source)
    problems = {} if target is None else differences(ours, target)
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    return ours


def to_official(state: Mapping[str, Tensor], *, contiguous: bool = False, unused: bool = True) -> dict[str, Tensor]:
    """Return the official state dict for one of ours, second names and index tables included.

    Args:
        state: our state dict.
        contiguous: it has COCO's 80 classes, which become rows of the official 91. Else class rows stay as they are.
        unused: write the parameters that are never used, too, without which the official code does not load: norms as
            they are initialised, and zeros for what is drawn at random.

    Raises:
        CheckpointMismatchError: a key is not accounted for, or the token labels have no row for each class row.
    """
    state = to_raw(state) if contiguous else state
    token_rows, rows = (state.get(f"bbox_head.{name}.bias") for name in ("token_embed", "cls_branches.0"))
    if token_rows is not None and rows is not None and token_rows.shape != rows.shape:
        line = f"bbox_head.token_embed.bias: {len(token_rows)} rows for {len(rows)} classes. Fix: contiguous=True"
        raise CheckpointMismatchError("the state dict", {"the official code has no row before the classes'": [line]})
    return _rules_of(state, unused).backward(state)


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict whose parameters the official code never uses."""
    return set(state) - set(to_official(from_official(state), unused=False))


def infer_config(
    state: Mapping[str, Tensor], *, contiguous: bool = False, num_layers: int | None = None, heads: Heads = "all"
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the weights say of the detector, in either layout, however incomplete.

    The stages in which [DET] tokens attend to patches show in no weight: they are left out, which is the published
    value. Class names, which are COCO's if an official file has its 91 rows, are under ``dataset_meta``.

    Args:
        state: a state dict.
        contiguous, num_layers, heads: see :func:`from_official`.
    """
    settings = _settings(state, contiguous, num_layers, heads)
    names = class_names(state, contiguous)
    return {"model": settings} | ({} if names is None else {"dataset_meta": {"classes": names}})


def target(
    state: Mapping[str, Tensor], *, contiguous: bool = False, num_layers: int | None = None, heads: Heads = "all"
) -> nn.Module:
    """Return the detector, on the meta device, that has the sizes of a state dict in either layout, in our layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        contiguous, num_layers, heads: see :func:`from_official`.
    """
    # whatever scope another library's model has left
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(_settings(state, contiguous, num_layers, heads))


def class_names(state: Mapping[str, Tensor], contiguous: bool = False) -> tuple[str, ...] | None:
    """Return the class names of an official file of 91 classes: COCO's by raw category id, ``none`` for unused ids.

    Args:
        state: the official state dict, or another, which has no names.
        contiguous: leave out unused ids, as :func:`from_official` leaves out their rows.

    Returns:
        None for other files: official ones do not name their classes.
    """
    rows = (("class_embed.0.bias", RAW_ROWS), ("class_embed.layers.2.bias", RAW_ROWS + 1))
    if not any(key in state and state[key].shape == (count,) for key, count in rows):
        return None
    return coco_names(len(COCO_IDS) if contiguous else RAW_ROWS)


def class_names_of(checkpoint: Mapping[str, Any], contiguous: bool = False) -> tuple[str, ...] | None:
    """Return the class names that a loaded checkpoint carries, or of an official file those of :func:`class_names`.

    Args:
        checkpoint: ours or an official one.
        contiguous: leave out unused ids, as :func:`weights_of` leaves out their rows.

    Returns:
        None if it names none.
    """
    stored = ((checkpoint.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    names = stored or class_names(strip_wrappers(checkpoint, source_of(checkpoint)))
    if not names:
        return None
    return tuple(name for name in names if not (contiguous and name == NO_CLASS))


def reduced(
    state: Mapping[str, Tensor], num_layers: int | None, heads: Heads, source: str = "the checkpoint"
) -> dict[str, Tensor]:
    """Return a state dict of ours without its last decoder layers, or without some heads.

    Args:
        state: our state dict.
        num_layers, heads: see :func:`from_official`.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: there are fewer layers.
    """
    dropped = [
        f"bbox_head.{prefix}"
        for setting, prefixes in OPTIONAL_HEADS.items()
        if setting not in _KEPT_HEADS[heads]
        for prefix in prefixes
    ]
    if num_layers is not None:
        present = {int(match[1]) for match in (re.match(r"decoder\.layers\.(\d+)\.", key) for key in state) if match}
        if not 1 <= num_layers <= len(present):
            line = f"it has {len(present)}. Fix: leave num_layers out, or a number from 1 to that"
            raise CheckpointMismatchError(source, {f"num_layers={num_layers} decoder layers are not there": [line]})
        for layer in present:
            if layer >= num_layers:
                dropped.append(f"decoder.layers.{layer}.")
                dropped += [f"bbox_head.{kind}_branches.{layer + 1}." for kind in ("cls", "reg", "iou")]
    return {key: tensor for key, tensor in state.items() if not key.startswith(tuple(dropped))}


def unlike_heads(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, bool]:
    """Return the optional heads that only one of a model and a state dict of ours has, by their settings.

    Returns:
        Whether it is the state dict that has it.
    """
    own = model.state_dict()
    found = {setting: (_has_head(state, setting), _has_head(own, setting)) for setting in OPTIONAL_HEADS}
    return {setting: there for setting, (there, here) in found.items() if there != here}


def with_heads_of(model: nn.Module, state: Mapping[str, Tensor], settings: Collection[str]) -> dict[str, Tensor]:
    """Return a state dict of ours whose optional heads of some settings are the model's: its own weights, or none.

    Args:
        model: the detector.
        state: our state dict.
        settings: some that :func:`unlike_heads` names.
    """
    prefixes = tuple(f"bbox_head.{prefix}" for setting in settings for prefix in OPTIONAL_HEADS[setting])
    own = {key: value for key, value in model.state_dict().items() if key.startswith(prefixes)}
    return {key: value for key, value in state.items() if not key.startswith(prefixes)} | own


def _has_head(state: Mapping[str, Tensor], setting: str) -> bool:
    return any(key.startswith(f"bbox_head.{prefix}") for prefix in OPTIONAL_HEADS[setting] for key in state)


def weights_of(
    checkpoint: Mapping[str, Any], *, contiguous: bool = False, num_layers: int | None = None
) -> dict[str, Tensor]:
    """Return the state dict of a loaded checkpoint in our layout, whichever it has.

    Args:
        checkpoint: ours or an official one.
        contiguous, num_layers: see :func:`from_official`; one of ours may have 80 classes already.

    Raises:
        CheckpointMismatchError: as :func:`from_official`; or it is no detector.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    if is_official(state):
        return from_official(state, source=source, contiguous=contiguous, num_layers=num_layers)
    if foreign := next((key for key in state if _IMAGENET.fullmatch(key)), None):
        start = f"init_cfg=dict(type='PretrainedSwinBody', checkpoint={source!r})"
        start = start.replace("Swin", "CoaT") if foreign.startswith("serial_blocks") else start
        line = f"{foreign} and others have no 'backbone.' before them. Fix: {start} in the backbone, not load_from"
        raise CheckpointMismatchError(source, {"it holds an ImageNet body alone": [line]})
    kept = reduced(state, num_layers, "all", source)
    return to_contiguous(kept, source) if contiguous and has_raw_rows(kept) else kept


def require_same_model(
    model: nn.Module,
    checkpoint: Mapping[str, Any],
    ignore: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
    *,
    contiguous: bool = False,
    num_layers: int | None = None,
) -> None:
    """Compare a checkpoint with a model: what the weights say, and the rest by the meta of a checkpoint of ours.

    A file without the weights that say most is not compared: its missing keys are what is wrong with it.

    Args:
        model: one of this package's detectors.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: settings that may differ, such as ``bbox_head.num_classes``.
        weights: what :func:`weights_of` has made of the checkpoint; made here if None.
        contiguous, num_layers: see :func:`weights_of`.

    Raises:
        CheckpointMismatchError: some settings differ: both detectors are named, and each setting with what to set; or
            the file is no detector.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    if weights is None:
        weights = weights_of(checkpoint, contiguous=contiguous, num_layers=num_layers)
    if not all(any(key in weights for key in keys) for keys in _WITNESSES):
        return
    there, here = _settings(state, contiguous, num_layers, "all"), settings_of(model)
    unknown = set(_DERIVED)
    if not is_official(state):
        unknown |= {"decoder.num_heads", "decoder.num_points"}
        if not there["bbox_head"].get("token_label"):
            unknown.add("bbox_head.labels")
    found, own = _flat(there), _flat(here)
    for part, names in _INVISIBLE.items():
        for name, value in stored_settings(checkpoint.get("meta"), part, names).items():
            found[f"{part}.{name}"] = value
            unknown.discard(f"{part}.{name}")
    if contiguous and "bbox_head.labels" in found:
        found["bbox_head.labels"] = "contiguous"
    kinds = {name for name in ("type", "backbone.type", "neck.type") if found.get(name) != own.get(name)}

    def skip(name: str) -> bool:
        of_other_kind = any(name.startswith(kind.removesuffix("type")) and name not in kinds for kind in kinds)
        return name in unknown or name in ignore or of_other_kind

    variants = variant_of(found), variant_of(own)
    require_same_settings(found, own, source, variants, partial(_difference, found, own), skip)


def settings_of(model: nn.Module) -> dict[str, Any]:
    """Return a detector's settings: what its weights say, and what only its attributes say."""
    settings = model_settings(model.state_dict())
    settings["backbone"]["cross_stages"] = _cross_stages(model.get_submodule("backbone"))
    if settings["type"] == "ViDT":
        attention, head = model.get_submodule("decoder.layers.0.cross_attn"), model.get_submodule("bbox_head")
        settings["decoder"] |= dict(num_heads=attention.num_heads, num_points=attention.num_points)
        settings["bbox_head"] |= dict(with_box_refine=head.with_box_refine, labels=head.criterion.labels)
        if head.with_vector:
            settings["bbox_head"]["gt_mask_len"] = head.criterion.mask_coder.mask_size
    return settings


def _cross_stages(backbone: nn.Module) -> list[int]:
    if isinstance(backbone, ViDTCoaT):
        return sorted(backbone.cross_stages)
    return [number for number, stage in enumerate(backbone.stages) if stage.encoding is not None]


def _difference(found: Mapping[str, Any], own: Mapping[str, Any], name: str, there: Any, here: Any) -> str:
    fix = f"set model.{name}={there!r}"
    setting = name.removeprefix("bbox_head.")
    if name == "decoder.num_layers" and there > here:
        fix += f", or num_layers={here} of ViDTCheckpointHook, which drops the last layers"
    elif setting in OPTIONAL_HEADS:
        if there:
            loaders = "ViDTCheckpointHook" if setting in TRAINING_HEADS else "ViDTCheckpointHook or ViDTInferencer"
            fix += f", or drop_heads=True of {loaders} leaves it out"
        else:
            fix += ", or new_heads=True of ViDTCheckpointHook trains it anew"
    elif setting in ("num_classes", "labels"):
        if own["bbox_head.num_classes"] == len(COCO_IDS) and found["bbox_head.num_classes"] == RAW_ROWS:
            fix += ", or contiguous=True of ViDTCheckpointHook for COCO's 80 classes"
        fix += ", or to train on other classes new_classes=True of ViDTCheckpointHook"
    return f"{name}: {there!r} in the file, {here!r} in the config. Fix: {fix}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and name != "arch"
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _settings(state: Mapping[str, Tensor], contiguous: bool, num_layers: int | None, heads: Heads) -> dict[str, Any]:
    """Return the settings that a state dict in either layout shows."""
    if not is_official(state):
        kept = reduced(state, num_layers, heads)
        return model_settings(to_contiguous(kept) if contiguous and has_raw_rows(kept) else kept)
    ours = reduced(_rules_of(state).known(state), num_layers, heads)
    settings = model_settings(to_contiguous(ours) if contiguous else ours, raw=not contiguous)
    if settings["type"] == "ViDT":
        settings["bbox_head"]["with_box_refine"] = _is_refined(state)
    return settings


def _is_refined(state: Mapping[str, Tensor]) -> bool:
    if is_official(state):
        return any(key.startswith(_REFINED) for key in state)
    return not shares_levels(state)


def _rules_of(state: Mapping[str, Tensor], unused: bool = True) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    levels = {match[1] for match in (re.match(r"bbox_head\.cls_branches\.(\d+)\.", key) for key in state) if match}
    blocks = [re.match(r"backbone\.serial_blocks(\d+)\.(\d+)\.", key) for key in state]
    depths = tuple(len({match[2] for match in blocks if match and int(match[1]) == stage}) for stage in range(1, 5))
    return _rules(len(levels), _is_refined(state), depths if any(blocks) else None, unused)


@cache
def _rules(levels: int, refined: bool, coat: tuple[int, ...] | None, unused: bool) -> KeyRules:
    """Return the rules of one kind of detector.

    Args:
        levels: of the predictions; the way back writes the second names of that many.
        refined: whether each level has a box branch of its own; then it has a second name.
        coat: depths of the stages of a CoaT; None for a Swin.
        unused: whether the way back writes never-used parameters.
    """
    rules: list[Rename | Drop | Alias] = [
        *(Drop(pattern, "never used", recreate if unused else None) for pattern, recreate in UNUSED.items()),
        Drop(_INDEX, "follows from the window", _index_tables),
        Alias("vector_embed.{l}.layers.*", "vector_embed.0.layers.*", tuple(range(max(levels, 1)))),
        *([Alias(f"{_REFINED}{{l}}.*", "bbox_embed.{l}.*")] if refined else []),
        *(swin_rules("backbone.", "backbone.") if coat is None else coat_rules("backbone.", "backbone.", coat)),
        Rename("class_embed.{l}.*", "bbox_head.cls_branches.{l}.*"),
        Rename("input_proj.{l}.0.*", "neck.convs.{l}.conv.*"),
        Rename("input_proj.{l}.1.*", "neck.convs.{l}.gn.*"),
        Rename("fusion.multi_scaler.*", "neck.*"),
        Rename("transformer.reference_points.*", "reference_points_fc.*"),
    ]
    for theirs, ours in _PERCEPTRONS.items():  # a list of layers; here a sequence with activations between them
        rules += [Rename(f"{theirs}.layers.{layer}.*", f"{ours}.{2 * layer}.*") for layer in range(3)]
    layer = "decoder.layers.{i}"
    rules += [Rename(f"transformer.{layer}.{theirs}.*", f"{layer}.{ours}.*") for theirs, ours in _LAYER.items()]
    rules += [Rename(f"transformer.{name}.*", f"bbox_head.{name}.*") for name in _TOKEN_PARTS]
    rules += [Rename(f"{name}.*", f"{name}.*") for name in ("tgt_proj", "query_pos_proj", "input_proj")]
    return KeyRules(rules)


def _index_tables(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removesuffix("bias_table") + "index": _index_of(table)
        for key, table in state.items()
        if key.endswith("relative_position_bias_table")
    }


def _index_of(table: Tensor) -> Tensor:
    return relative_position_index((isqrt(len(table)) + 1) // 2).to(table.device)


def _odd_indices(state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each index table of a file that is not the official one."""
    lines = []
    for key, index in state.items():
        table = state.get(key.removesuffix("index") + "bias_table")
        if not key.endswith("relative_position_index") or table is None or index.is_meta or not table.dim():
            continue
        if not torch.equal(index, _index_of(table).to(index)):
            lines.append(f"{key}: orders the rows of the bias table otherwise. Fix: take the original file")
    return lines


def _odd_levels(state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each weight of a level that is not level 0's, where all levels share their branches."""
    if _is_refined(state):
        return []
    lines = []
    for key, tensor in state.items():
        if match := _SHARED.fullmatch(key):
            first = state.get(f"{match[1]}.0.{match[3]}", tensor)
            if first.shape != tensor.shape or not (first.is_meta or torch.equal(first, tensor)):
                lines.append(f"{key}, of {match[1]}.0.{match[3]}, as there is no {_REFINED}*")
    return lines
