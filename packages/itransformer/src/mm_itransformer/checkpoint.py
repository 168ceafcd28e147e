"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files: a bare state dict, ``checkpoints/<setting>/checkpoint.pth`` of thuml/iTransformer @ c2426e6 or of the
Time-Series-Library @ 4e938a1, whose last layer is called ``projection`` instead of ``projector``. Three families:
inverted forecasters (here), the models over time tokens that they are compared with (:mod:`.baseline_checkpoint`), and
the Time-Series-Library's other tasks (:mod:`.task_checkpoint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mm_itransformer import baseline_checkpoint, task_checkpoint
from mm_itransformer.encoder_checkpoint import ENCODER_RULES, ENCODER_WITNESSES, heads_of, require_positive, sizes
from mm_itransformer.models import ITransformer
from mm_itransformer.models.attention_settings import JOINT_ATTENTIONS, LSH_ATTENTION, attention_settings
from mmrepro.checkpoint import CheckpointMismatchError, KeyRules, Rename, convert, differences, strip_wrappers
from mmrepro.safe_loading import source_of

_LSH_RULES = tuple(
    Rename(f"encoder.attn_layers.{{i}}.attention.attn.{theirs}.*", f"backbone.layers.{{i}}.attn.{ours}.*")
    for theirs, ours in (("toqk", "qk"), ("tov", "v"), ("to_out", "proj"))
)
_HEAD_RULES = {name: Rename(f"{name}.*", "head.proj.*") for name in ("projector", "projection")}

_WITNESSES = ENCODER_WITNESSES | {
    "pred_len": {"head.proj.weight": 0, "head.proj.bias": 0},
    "d_model": ENCODER_WITNESSES["d_model"] | {"head.proj.weight": 1},
}


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(key.startswith(("enc_embedding.", "dec_embedding.", "encoder.attn_layers.")) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
) -> dict[str, Tensor]:
    """Return our state dict for an official one, of any family.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    state = strip_wrappers(state, source)
    return convert(state, _rules(state), target, source)


def to_official(
    state: Mapping[str, Tensor], *, head: Literal["projector", "projection"] = "projector"
) -> dict[str, Tensor]:
    """Return the official state dict for one of ours, of any family.

    Args:
        state: our state dict.
        head: the name of an inverted model's last layer: ``projector`` in thuml/iTransformer, ``projection`` in the
            Time-Series-Library. A classifier's is always the latter.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return _rules(state, head).backward(state)


def infer_config(
    state: Mapping[str, Tensor],
    *,
    n_heads: int | None = None,
    use_norm: bool | None = None,
    attention: str | None = None,
    factor: int | None = None,
    task: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the model, in either layout, however incomplete.

    Args:
        state: a state dict.
        n_heads, use_norm: how the model was trained; no weight shows it, so they are left out unless given.
        attention: name of the attention's class. iReformer and Reformer have weights of their own; no weight tells
            the others apart.
        factor: that of ``ProbSparseAttention``.
        task: ``imputation`` or ``anomaly_detection`` for a file of that task, which looks like a forecaster's;
            ``classification`` shows by itself.

    Raises:
        ValueError: an option is not possible, or not for the model that the keys show.
    """
    require_positive(n_heads=n_heads, factor=factor)
    if baseline_checkpoint.is_baseline(state):
        _require_unset("a model over time tokens", use_norm=use_norm, task=task)
        settings = baseline_checkpoint.infer_config(state, n_heads=n_heads)["model"]
    elif task is not None or task_checkpoint.is_task_state(state):
        _require_unset("a model of the Time-Series-Library's other tasks", use_norm=use_norm)
        settings = task_checkpoint.infer_config(state, task=task, n_heads=n_heads)["model"]
    else:
        settings = _sizes(state)
        settings.pop("inner", None)
        given = {"n_heads": n_heads, "use_norm": use_norm}
        settings |= {name: value for name, value in given.items() if value is not None}
    found = _attention(state, attention, factor)
    return {"model": settings | ({"attention": found} if found else {})}


def target(state: Mapping[str, Tensor], *, n_heads: int | None = None, task: str | None = None) -> nn.Module:
    """Return the model, on the meta device, that has the sizes of a state dict in either layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        n_heads: the number of heads, for widths that it does not divide.
        task: see :func:`infer_config`.
    """
    if baseline_checkpoint.is_baseline(state):
        return baseline_checkpoint.target(state, n_heads=n_heads)
    if task is not None or task_checkpoint.is_task_state(state):
        return task_checkpoint.target(state, task=task, n_heads=n_heads)
    settings = infer_config(state, n_heads=n_heads)["model"]
    if n_heads is None:
        settings["n_heads"] = heads_of(settings.get("d_model", 1), _sizes(state).get("inner"))
    with torch.device("meta"):
        return ITransformer(**settings)


@cache
def _inverted_rules(lsh: bool, head: str) -> KeyRules:
    """Return the rules of inverted models; on the way back the first rule for a key counts."""
    heads = sorted(_HEAD_RULES, key=lambda name: name != head)
    return KeyRules((*(_LSH_RULES if lsh else ()), *ENCODER_RULES, *(_HEAD_RULES[name] for name in heads)))


def _rules(state: Mapping[str, Tensor], head: str = "projector") -> KeyRules:
    """Return the rules for a state dict in either layout."""
    if baseline_checkpoint.is_baseline(state):
        return baseline_checkpoint.rules_of(state)
    if task_checkpoint.is_task_state(state) or any(key.startswith("projection.") for key in state):
        head = "projection"
    return _inverted_rules(_is_lsh(state), head)


def _is_lsh(state: Mapping[str, Tensor]) -> bool:
    return any(".attention.attn." in key or ".attn.qk." in key for key in state)


def _sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    ours = _inverted_rules(_is_lsh(state), "projector").known(state) if is_official(state) else state
    return sizes(ours, _WITNESSES)


def _attention(state: Mapping[str, Tensor], name: str | None, factor: int | None) -> dict[str, Any]:
    """Return what keys and options say of the attention, nothing if they say nothing."""
    possible = (LSH_ATTENTION,) if _is_lsh(state) else JOINT_ATTENTIONS
    if name is not None and name not in possible:
        raise ValueError(f"attention={name!r}: the weights are of {' or '.join(possible)}")
    if factor is not None and name != "ProbSparseAttention":
        raise ValueError(f"factor={factor} is an argument of attention=ProbSparseAttention, which is not given")
    if name is None and possible == JOINT_ATTENTIONS:
        return {}
    if not is_official(state):
        return {"type": name or LSH_ATTENTION}
    # The official code has the defaults of our classes, but for the factor, which its scripts choose.
    settings = attention_settings({"type": name or LSH_ATTENTION})
    settings.pop("factor", None)
    return settings | ({} if factor is None else {"factor": factor})


def _require_unset(family: str, **options: object) -> None:
    """Raise a ValueError that names the options that are given and mean nothing to a family of models."""
    given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"the file holds {family}, for which {' and '.join(given)} has no meaning")


def meta_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says beside its weights; nothing for a bare state dict."""
    meta = checkpoint.get("meta")
    return dict(meta) if isinstance(meta, Mapping) else {}


def require_same_model(model: nn.Module, checkpoint: Mapping[str, Any], ignore: Sequence[str] = ()) -> None:
    """Compare a checkpoint's settings with the model's, as far as its weights or its meta say them.

    Args:
        model: one of this package's, with ``settings``.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: names of settings that may differ.

    Raises:
        CheckpointMismatchError: some differ; all are listed with what to set.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    families = {True: "a model over time tokens", False: "an inverted model"}
    is_baseline, baseline_wanted = (baseline_checkpoint.is_baseline(s) for s in (state, model.state_dict()))
    if is_baseline != baseline_wanted:
        line = f"{families[is_baseline]} in the file, {families[baseline_wanted]} in the config. Fix: set model.type"
        raise CheckpointMismatchError(source, {"it holds another kind of model": [line]})
    stored = meta_of(checkpoint).get("model", {})
    tasks = [settings.get("task", "forecast") for settings in (stored or model.settings, model.settings)]
    if tasks[0] != tasks[1]:
        line = f"task: {tasks[0]} in the file, {tasks[1]} in the config. Fix: set model.type"
        raise CheckpointMismatchError(source, {"it was trained for another task": [line]})
    found = infer_config(state)["model"] | stored
    wanted = model.settings
    lines = [
        f"{name}: {found[name]} in the file, {wanted[name]} in the config. Fix: set model.{name}={found[name]!r}"
        + (f", and {name}={found[name]} in the data sets" if name in ("seq_len", "pred_len") else "")
        for name in wanted
        if name in found and name not in ignore and not _agree(found[name], wanted[name])
    ]
    if lines:
        raise CheckpointMismatchError(source, {"it was trained with another setting than the config's": lines})


def _agree(found: Any, wanted: Any) -> bool:
    """Return whether two settings are equal, in what both say if they have parts, as the attention has."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return all(found[name] == wanted[name] for name in found.keys() & wanted.keys())
    return found == wanted


def require_same_time_features(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], source: str = "the checkpoint"
) -> None:
    """Compare the time features that a model was trained with to those of the data at hand.

    They become tokens that the same weights read, so nothing but this comparison would notice.

    Args:
        stored: the checkpoint's ``dataset_meta``; an official file has none.
        wanted: the data set's ``metainfo``.
        source: the checkpoint's file.

    Raises:
        CheckpointMismatchError: ``time_features`` or, where they are used, ``freq`` differ.
    """
    names = ["time_features"] + (["freq"] if stored.get("time_features") else [])
    lines = [
        f"{name}: {stored[name]!r} in training, {wanted[name]!r} now. Fix: set dataset.{name}={stored[name]!r} in the "
        "config's data loaders, or take a checkpoint that was trained so"
        for name in names
        if name in stored and name in wanted and stored[name] != wanted[name]
    ]
    if lines:
        raise CheckpointMismatchError(source, {"it was trained with other time features": lines})


@torch.no_grad()
def load_strictly(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Load a checkpoint into a model, converting an official one.

    Raises:
        CheckpointMismatchError: it belongs to a model with other settings, or a key is not accounted for.
    """
    source = source_of(checkpoint)
    require_same_model(model, checkpoint)
    state = strip_wrappers(checkpoint, source)
    if is_official(state):
        state = from_official(state, source=source)
    problems = differences(state, model)
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    model.load_state_dict(state, strict=True)
