"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files are those of JihyeokKim/MonoDINO-DETR @ 65004cc: ``{epoch, model_state, optimizer_state, best_result,
best_epoch}``. Top-level names change, and those where mmdet's modules are used. Left out are second names of one
tensor, once they are found equal; the depths of the bins, which are computed; and parameters that the official code has
and never uses (:mod:`mm_monodino_detr.unused_keys`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mm_monodino_detr.checkpoint_sizes import model_settings, settings_of, variant_of
from mm_monodino_detr.models.depth_bins import depth_bin_values
from mm_monodino_detr.unused_keys import unused_rules
from mmrepro.checkpoint import (
    Alias,
    CheckpointMismatchError,
    Drop,
    KeyRules,
    Rename,
    convert,
    strip_wrappers,
)
from mmrepro.model_settings import require_same_settings, stored_settings
from mmrepro.safe_loading import source_of

CLASSES = ("Pedestrian", "Car", "Cyclist")  # of the official labels, in their order
DEPTH_MIN, DEPTH_MAX = 1e-3, 60.0  # metres, where a file does not say

_OFFICIAL = re.compile(
    r"(depthaware_transformer|depth_predictor_2|backbone\.(0|backbone)|input_proj\.\d+|label_enc|"
    r"(class|bbox|angle|depth|tgt|refpoint|query)_embed|dim_embed_3d)\..+"
)
_PUBLIC = re.compile(r"pretrained\..+|(backbone\.)?blocks\.\d+\..+")
_BINS = "depth_predictor_2.depth_bin_values"
_CLASSIFIER = "depth_predictor_2.depth_classifier.weight"
_POSITIONS = "depth_predictor_2.depth_pos_embed.weight"
_FFN = {"linear1": "ffn.layers.0.0", "linear2": "ffn.layers.1"}
_DECODER_LAYER = (
    *("cross_attn_depth", "norm_depth", "self_attn", "norm2", "cross_attn", "norm1", "norm3"),
    *("sa_qcontent_proj", "sa_qpos_proj", "sa_kcontent_proj", "sa_kpos_proj"),
)
_BRANCHES = {
    "class_embed": "cls_branches",
    "bbox_embed": "reg_branches",
    "dim_embed_3d": "dim_branches",
    "angle_embed": "angle_branches",
    "depth_embed": "depth_branches",
}

# These show in no weight: a checkpoint of ours carries them in its meta.
_INVISIBLE = {
    "": ("target_size", "num_queries", "group_num"),
    "backbone": ("num_heads", "out_indices"),
    "depth_predictor": ("depth_min", "depth_max"),
    "encoder": ("num_heads", "num_points"),
    "decoder": ("num_heads", "num_points"),
}
_WITNESSES = ("backbone.cls_token", "encoder.level_embed", "bbox_head.cls_branches.0.bias")
_DERIVED = re.compile(r"(neck|depth_head)\..+|(encoder|decoder)\.num_levels")  # they follow from other settings


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(_OFFICIAL.fullmatch(key) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
) -> dict[str, Tensor]:
    """Return our state dict for an official one.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: a key is not accounted for; second names of one tensor hold different ones; or the
            depths of the bins are not those of the official formula, which this package computes.
    """
    state = strip_wrappers(state, source)
    if odd := _odd_bins(state):
        raise CheckpointMismatchError(source, {"depth bins that are not the official ones": [odd]})
    return convert(state, _rules_of(state), target, source)


def to_official(
    state: Mapping[str, Tensor],
    *,
    depth_min: float = DEPTH_MIN,
    depth_max: float | None = None,
    unused: bool = True,
) -> dict[str, Tensor]:
    """Return the official state dict for one of ours, second names included.

    Args:
        state: our state dict.
        depth_min: where the depth bins begin, in metres.
        depth_max: where they end; None takes the whole metres that the weights show.
        unused: write the parameters that are never used, as zeros, and the depths of the bins, too, without which the
            official code does not load.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return _rules(_uses_dab(state), unused, depth_min, depth_max).backward(state)


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that are no parameters of ours: those without use, and computed ones.

    Second names are not among them.
    """
    return set(state) - set(to_official(from_official(state), unused=False))


def require_official(meta: Mapping[str, Any], source: str) -> None:
    """Compare the depth range of a checkpoint of ours with the one that an official file would get.

    Raises:
        CheckpointMismatchError: it is another one, as the meta says.
    """
    stored = stored_settings(meta, "depth_predictor", ("depth_min", "depth_max"))
    nearest, farthest = stored.get("depth_min", DEPTH_MIN), stored.get("depth_max", DEPTH_MAX)
    if nearest != DEPTH_MIN or farthest != int(farthest):
        line = f"{nearest} to {farthest} m. Fix: to_official(state, depth_min={nearest}, depth_max={farthest})"
        raise CheckpointMismatchError(source, {"its depth range shows in no weight": [line]})


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return ``{"model": settings}``: what the weights say of the detector, in either layout, however incomplete.

    The number of groups shows only together with the number of queries: 11 groups are assumed where that is possible.
    Class names, which are the official ones if an official file has their four rows, are under ``dataset_meta``.

    Args:
        state: a state dict.
    """
    names = class_names(state)
    return {"model": _settings(state)} | ({} if names is None else {"dataset_meta": {"classes": names}})


def target(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the detector, on the meta device, that has the sizes of a state dict in either layout, in our layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.

    Raises:
        CheckpointMismatchError: it holds the frozen parts alone.
    """
    _require_detector(state, "the file")
    # whatever scope another library's model has left
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(_settings(state))


def class_names(state: Mapping[str, Tensor]) -> tuple[str, ...] | None:
    """Return the class names of an official file: three for its four rows, of which the last is never a target.

    Args:
        state: the official state dict, or another, which has no names.

    Returns:
        None for other files and other numbers of rows.
    """
    rows = state.get("class_embed.0.bias")
    return CLASSES if rows is not None and rows.shape == (len(CLASSES) + 1,) else None


def class_names_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that a loaded checkpoint carries, or of an official file those of :func:`class_names`.

    Args:
        checkpoint: ours or an official one.

    Returns:
        None if it names none.
    """
    stored = ((checkpoint.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    names = stored or class_names(strip_wrappers(checkpoint, source_of(checkpoint)))
    return tuple(names) if names else None


def is_class_row(key: str) -> bool:
    """Return whether one of our weights has a row for each class."""
    return key.startswith("bbox_head.cls_branches.")


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a loaded checkpoint in our layout, whichever it has.

    Args:
        checkpoint: ours or an official one.

    Raises:
        CheckpointMismatchError: as :func:`from_official`; or it holds the frozen parts alone.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    if is_official(state):
        return from_official(state, source=source)
    _require_detector(state, source)
    return state


def require_same_model(
    model: nn.Module,
    checkpoint: Mapping[str, Any],
    ignore: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Compare a checkpoint with a model: what the weights say, and the rest by the meta of a checkpoint of ours.

    A file without the weights that say most is not compared: its missing keys are what is wrong with it.

    Args:
        model: this package's detector.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: settings that may differ, such as ``target_size``.
        weights: what :func:`weights_of` has made of the checkpoint; made here if None.

    Raises:
        CheckpointMismatchError: some settings differ: both detectors are named, and each setting with what to set; or
            the file is no detector.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    if weights is None:
        weights = weights_of(checkpoint)
    if not all(key in weights for key in _WITNESSES):
        return
    there, here = _settings(state), settings_of(model)
    found, own = _flat(there), _flat(here)
    unknown = {f"{part}.{name}".lstrip(".") for part, names in _INVISIBLE.items() for name in names}
    if is_official(state) and not state.get(_BINS, torch.empty(0, device="meta")).is_meta:
        unknown -= {"depth_predictor.depth_min", "depth_predictor.depth_max"}
    else:
        unknown.discard("depth_predictor.depth_max")  # its whole metres show
        own["depth_predictor.depth_max"] = float(int(own["depth_predictor.depth_max"]))
    meta = checkpoint.get("meta") or {}
    for part, names in _INVISIBLE.items():
        stored = stored_settings(meta, part, names) if part else _top_settings(meta, names)
        for name, value in stored.items():
            key = f"{part}.{name}".lstrip(".")
            found[key] = tuple(value) if isinstance(value, list) else value
            unknown.discard(key)
            own[key] = _flat(here)[key]
    if {"num_queries", "group_num"} & unknown and _rows(found) != _rows(own):
        unknown -= {"num_queries", "group_num"}

    def skip(name: str) -> bool:
        return name in unknown or name in ignore or _DERIVED.fullmatch(name) is not None

    variants = variant_of(found), variant_of(own)
    require_same_settings(found, own, source, variants, _difference, skip)


def _require_detector(state: Mapping[str, Tensor], source: str) -> None:
    """Raise CheckpointMismatchError where a state dict is a public one of the frozen parts."""
    foreign = next((key for key in state if _PUBLIC.fullmatch(key)), None)
    if foreign is not None and not any(key.startswith("bbox_head.") for key in state):
        kind, parts = "PretrainedDINOv2", "backbone"
        if any(key.startswith("pretrained.") for key in state):
            kind, parts = "PretrainedDepthAnything", "backbone and depth_head"
        line = f"{foreign} and others. Fix: init_cfg=dict(type='{kind}', checkpoint=...) of {parts}, as it is"
        raise CheckpointMismatchError(source, {"it is no detector: public weights of the frozen parts": [line]})


def _rows(settings: Mapping[str, Any]) -> int:
    return settings["num_queries"] * settings["group_num"]


def _top_settings(meta: Any, names: Sequence[str]) -> dict[str, Any]:
    model = meta.get("model") if isinstance(meta, Mapping) else None
    return {name: model[name] for name in names if name in model} if isinstance(model, Mapping) else {}


def _difference(name: str, there: Any, here: Any) -> str:
    fix = f"set model.{name}={there!r}"
    if name == "bbox_head.num_classes":
        fix += ", or to train on other classes new_classes=True of MonoDINOCheckpointHook"
    return f"{name}: {there!r} in the file, {here!r} in the config. Fix: {fix}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and name != "arch"
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that a state dict in either layout shows."""
    if not is_official(state):
        return model_settings(state)
    settings, bins = model_settings(_rules_of(state).known(state)), state.get(_BINS)
    if bins is not None and not bins.is_meta and bins.dim() == 1 and len(bins) > 1:
        nearest, farthest = (round(value, 4) for value in bins[[0, -1]].tolist())  # float32 of a decimal number
        settings["depth_predictor"] |= dict(depth_min=nearest, depth_max=farthest)
    return settings


def _uses_dab(state: Mapping[str, Tensor]) -> bool:
    return not {"query_embed.weight", "queries.query_embed.weight"} & set(state)


def _rules_of(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for an official state dict."""
    return _rules(_uses_dab(state), True, DEPTH_MIN, None)


@cache
def _rules(dab: bool, unused: bool, depth_min: float, depth_max: float | None) -> KeyRules:
    """Return the rules of one kind of detector.

    Args:
        dab: whether queries are anchor boxes.
        unused: whether the way back writes never-used parameters and the depths of the bins.
        depth_min, depth_max: of these.
    """
    transformer, predictor = "depthaware_transformer", "depth_predictor_2"
    bins = partial(_bins, depth_min=depth_min, depth_max=depth_max)
    rules: list[Rename | Drop | Alias] = [
        *(Drop(pattern, "never used", make if unused else None) for pattern, make in unused_rules(dab).items()),
        Drop(_BINS, "computed from the depth range", bins if unused else None),
        Alias("backbone.backbone.*", "backbone.0.*"),
        Alias(f"{transformer}.decoder.bbox_embed.*", "bbox_embed.*"),
        Alias(f"{transformer}.decoder.dim_embed.*", "dim_embed_3d.*"),
        Rename("backbone.0.backbone.*", "backbone.*"),
        Rename("backbone.0.dpt_head.*", "depth_head.*"),
        Rename("input_proj.{l}.*", "neck.input_proj.{l}.*"),
        Rename(f"{transformer}.level_embed", "encoder.level_embed"),
    ]
    rules += [
        Rename(f"{predictor}.{name}.*", f"depth_predictor.{name}.*")
        for name in ("depth_input_proj", "depth_head", "depth_classifier", "depth_pos_embed")
    ]
    names = _FFN | {name: name for name in ("self_attn", "norm1", "norm2")}
    rules += [
        Rename(f"{predictor}.depth_encoder.layers.0.{theirs}.*", f"depth_predictor.depth_encoder.{ours}.*")
        for theirs, ours in names.items()
    ]
    layers = {
        "encoder": _FFN | {"self_attn": "self_attn", "norm1": "norms.0", "norm2": "norms.1"},
        "decoder": _FFN | {name: name for name in _DECODER_LAYER},
    }
    for part, names in layers.items():
        rules += [
            Rename(f"{transformer}.{part}.layers.{{i}}.{theirs}.*", f"{part}.layers.{{i}}.{ours}.*")
            for theirs, ours in names.items()
        ]
    if dab:
        rules += [
            Rename(f"{transformer}.decoder.{name}.*", f"decoder.{name}.*") for name in ("query_scale", "ref_point_head")
        ]
        rules += [Rename(f"{name}.weight", f"queries.{name}.weight") for name in ("tgt_embed", "refpoint_embed")]
    else:
        rules.append(Rename("query_embed.weight", "queries.query_embed.weight"))
        rules.append(Rename(f"{transformer}.reference_points.*", "queries.reference_points.*"))
    rules += [Rename(f"{theirs}.{{l}}.*", f"bbox_head.{ours}.{{l}}.*") for theirs, ours in _BRANCHES.items()]
    return KeyRules(rules)


def _bins(state: Mapping[str, Tensor], depth_min: float, depth_max: float | None) -> dict[str, Tensor]:
    like, positions = state.get(_CLASSIFIER), state.get(_POSITIONS)
    if like is None or positions is None:
        return {}
    farthest = float(len(positions) - 1) if depth_max is None else depth_max
    return {_BINS: depth_bin_values(len(like) - 1, depth_min, farthest).to(like)}


def _odd_bins(state: Mapping[str, Tensor]) -> str | None:
    """Return what is wrong with the depths of the bins of a file, if they are not those of its first and its last."""
    bins = state.get(_BINS)
    if bins is None or bins.is_meta:
        return None
    fix = "Fix: train with linearly increasing bins, or take the original file"
    if bins.dim() != 1 or len(bins) < 2:
        return f"{_BINS}: its shape is {tuple(bins.shape)}, not (bins + 1,). {fix}"
    nearest, farthest = bins[[0, -1]].tolist()
    sane = 0 <= nearest < farthest
    if not sane or not torch.allclose(bins, depth_bin_values(len(bins) - 1, nearest, farthest).to(bins), rtol=1e-5):
        return f"{_BINS}: not the bins from {nearest:g} to {farthest:g} m. {fix}"
    return None
