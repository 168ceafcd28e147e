"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files: a bare state dict, ``checkpoints/<setting>/checkpoint.pth`` of thuml/iTransformer @ c2426e6, or of a
forecasting model of the Time-Series-Library, whose last layer is called ``projection`` instead of ``projector``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mm_itransformer.models import ITransformer
from mmrepro.checkpoint import (
    CheckpointMismatchError,
    Join,
    KeyRules,
    Rename,
    Squeeze,
    convert,
    differences,
    strip_wrappers,
)
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
# On the way back the first rule for a key counts.
_RULES_BY_HEAD = {"projector": RULES, "projection": KeyRules((Rename("projection.*", "head.proj.*"), *RULES.rules))}

# Where a size shows: our keys and the axis. What most of them say counts, so that the odd one out is the one named.
_WITNESSES = {
    "seq_len": {"embedding.proj.weight": 1},
    "pred_len": {"head.proj.weight": 0, "head.proj.bias": 0},
    "d_model": {
        "embedding.proj.weight": 0,
        "embedding.proj.bias": 0,
        "backbone.norm.weight": 0,
        "backbone.norm.bias": 0,
        "head.proj.weight": 1,
    },
    "d_ff": {"layer.ffn.fc1.weight": 0, "layer.ffn.fc1.bias": 0, "layer.ffn.fc2.weight": 1},
    "inner": {"layer.attn.proj.weight": 1},
}
_LAYER = re.compile(r"backbone\.layers\.(\d+)\.")


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(key.startswith(("enc_embedding.", "encoder.attn_layers.")) for key in state)


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
        CheckpointMismatchError: a key is not accounted for.
    """
    return convert(strip_wrappers(state, source), RULES, target, source)


def to_official(
    state: Mapping[str, Tensor], *, head: Literal["projector", "projection"] = "projector"
) -> dict[str, Tensor]:
    """Return the official state dict for one of ours.

    Args:
        state: our state dict.
        head: the name of the last layer: ``projector`` in thuml/iTransformer, ``projection`` in TSLib.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return _RULES_BY_HEAD[head].backward(state)


def infer_config(
    state: Mapping[str, Tensor], *, n_heads: int | None = None, use_norm: bool | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the model, in either layout, however incomplete.

    Args:
        state: a state dict.
        n_heads, use_norm: how the model was trained; no weight shows it, so they are left out unless given.

    Raises:
        ValueError: ``n_heads`` is not positive.
    """
    if n_heads is not None and n_heads < 1:
        raise ValueError(f"n_heads={n_heads} is not positive")
    settings = _sizes(state)
    settings.pop("inner", None)
    given = {"n_heads": n_heads, "use_norm": use_norm}
    return {"model": settings | {key: value for key, value in given.items() if value is not None}}


def target(state: Mapping[str, Tensor], *, n_heads: int | None = None) -> ITransformer:
    """Return the model, on the meta device, that has the sizes of a state dict in either layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        n_heads: the number of heads, for widths that it does not divide.
    """
    settings = infer_config(state, n_heads=n_heads)["model"]
    inner = _sizes(state).get("inner")
    if n_heads is None:
        width = settings.get("d_model", 1)
        settings["n_heads"] = next((n for n in range(1, width + 1) if width // n * n == inner), 1)
    with torch.device("meta"):
        return ITransformer(**settings)


def _sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    ours = RULES.known(state) if is_official(state) else state
    sizes = {}
    for name, axes in _WITNESSES.items():
        seen = [
            tensor.shape[axes[key]]
            for full, tensor in ours.items()
            if (key := _LAYER.sub("layer.", full, count=1)) in axes and axes[key] < tensor.ndim
        ]
        if any(seen):  # no size is 0
            sizes[name] = Counter(size for size in seen if size).most_common(1)[0][0]
    layers = [int(match.group(1)) for key in ours if (match := _LAYER.match(key))]
    if layers:  # a stray index must not cost a model of that many layers
        sizes["e_layers"] = min(max(layers) + 1, len(ours))
    return sizes


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
