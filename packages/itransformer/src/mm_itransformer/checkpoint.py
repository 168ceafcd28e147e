"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files: a bare state dict, ``checkpoints/<setting>/checkpoint.pth`` of thuml/iTransformer @ c2426e6, or of a
forecasting model of the Time-Series-Library, whose last layer is called ``projection`` instead of ``projector``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmrepro.checkpoint import CheckpointMismatchError, Join, KeyRules, Rename, Squeeze, differences, strip_wrappers
from mmrepro.safe_loading import source_of

_OFFICIAL, _OURS = "encoder.attn_layers.{i}", "backbone.layers.{i}"

RULES = KeyRules(
    (
        Rename("enc_embedding.value_embedding.*", "embedding.proj.*"),
        Join(
            tuple(f"{_OFFICIAL}.attention.{name}_projection.*" for name in ("query", "key", "value")),
            f"{_OURS}.attn.qkv.*",
        ),
        Rename(f"{_OFFICIAL}.attention.out_projection.*", f"{_OURS}.attn.proj.*"),
        Squeeze(f"{_OFFICIAL}.conv1.weight", f"{_OURS}.ffn.fc1.weight"),
        Squeeze(f"{_OFFICIAL}.conv2.weight", f"{_OURS}.ffn.fc2.weight"),
        Rename(f"{_OFFICIAL}.conv1.bias", f"{_OURS}.ffn.fc1.bias"),
        Rename(f"{_OFFICIAL}.conv2.bias", f"{_OURS}.ffn.fc2.bias"),
        Rename(f"{_OFFICIAL}.norm1.*", f"{_OURS}.norm1.*"),
        Rename(f"{_OFFICIAL}.norm2.*", f"{_OURS}.norm2.*"),
        Rename("encoder.norm.*", "backbone.norm.*"),
        Rename("projector.*", "head.proj.*"),
        Rename("projection.*", "head.proj.*"),
    )
)


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(key.startswith(("enc_embedding.", "encoder.attn_layers.")) for key in state)


def from_official(state: Mapping[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Return our state dict for an official one; ``options`` (see :func:`infer_config`) change no weight.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return RULES.forward(strip_wrappers(state))


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official state dict for one of ours.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return RULES.backward(state)


def infer_config(
    state: Mapping[str, Tensor], n_heads: int | None = None, use_norm: bool | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the model, in either layout.

    Args:
        state: a state dict.
        n_heads, use_norm: how the model was trained; no weight shows it, so they are left out unless given.
    """
    ours = from_official(state) if is_official(state) else state
    settings: dict[str, Any] = {}
    if "embedding.proj.weight" in ours:
        settings["d_model"], settings["seq_len"] = ours["embedding.proj.weight"].shape
    if "head.proj.weight" in ours:
        settings["pred_len"] = ours["head.proj.weight"].shape[0]
    if "backbone.layers.0.ffn.fc1.weight" in ours:
        settings["d_ff"] = ours["backbone.layers.0.ffn.fc1.weight"].shape[0]
        settings["e_layers"] = len({key.split(".")[2] for key in ours if key.startswith("backbone.layers.")})
    given = {"n_heads": n_heads, "use_norm": use_norm}
    return {"model": settings | {key: value for key, value in given.items() if value is not None}}


def meta_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says beside its weights; nothing for a bare state dict."""
    meta = checkpoint.get("meta")
    return dict(meta) if isinstance(meta, Mapping) else {}


def require_same_model(model: nn.Module, checkpoint: Mapping[str, Any], ignore: Sequence[str] = ()) -> None:
    """Compare a checkpoint's settings with the model's, as far as its weights or its meta say them.

    Args:
        model: an :class:`ITransformer`.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: names of settings that may differ.

    Raises:
        CheckpointMismatchError: some differ; all are listed with what to set.
    """
    source = source_of(checkpoint)
    found = infer_config(strip_wrappers(checkpoint, source))["model"] | meta_of(checkpoint).get("model", {})
    wanted = model.settings
    lines = [
        f"{name}: {found[name]} in the file, {wanted[name]} in the config. Fix: set model.{name}={found[name]!r}"
        + (f", and {name}={found[name]} in the data sets" if name in ("seq_len", "pred_len") else "")
        for name in wanted
        if name in found and name not in ignore and found[name] != wanted[name]
    ]
    if lines:
        raise CheckpointMismatchError(source, {"it was trained with another setting than the config's": lines})


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
        state = from_official(state)
    problems = differences(state, model)
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    model.load_state_dict(state, strict=True)
