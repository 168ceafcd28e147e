"""Official audio checkpoints: an audio spectrogram transformer whose blocks are the shared ones.

Its class token, its distillation token and the head of the vision model that it was made from are never read. They are
left out, and are zeros on the way back, for the official code loads strictly; the head is then one of 1000 classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import Drop, KeyRules, Rename

_POSITION, _KERNEL, _HEAD = "v.pos_embed", "v.patch_embed.proj.weight", "mlp_head.1.weight"
_NORMS = ("v.norm.weight", "mlp_head.0.weight")
_UNUSED = ("v.cls_token", "v.dist_token", "v.head.weight", "v.head.bias")
_STRIDE, _BINS, _FRAMES = 10, 224, 224  # as published: they show in no shape
_VISION_CLASSES = 1000


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of the official audio model."""
    return all(key in state for key in (_POSITION, _KERNEL, _HEAD, *_NORMS))


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules; they are the same for every state dict."""
    return _RULES


def never_used(state: Mapping[str, Tensor]) -> set[str]:
    """Return the keys of an official state dict that the official code never reads."""
    return set(_UNUSED) & set(state)


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    The number of positions is taken to be that of spectrograms with 224 bins; where it is no multiple of theirs, all
    positions are taken to lie along time.

    Args:
        state: a complete official state dict, :func:`matches`.
    """
    tokens = state[_POSITION].shape[1]
    patch = state[_KERNEL].shape[-1]
    rows, bins = (_BINS - patch) // _STRIDE + 1, _BINS
    if tokens % rows:
        rows, bins = 1, patch
    columns = tokens // rows
    frames = _FRAMES if columns == (_FRAMES - patch) // _STRIDE + 1 else (columns - 1) * _STRIDE + patch
    return dict(
        type="MetaTransformerClassifier",
        tokenizer=dict(
            type="AudioTokenizer", patch_size=patch, stride=_STRIDE, input_size=(bins, frames), class_token=False
        ),
        encoder=dict(
            type="MetaTransformerEncoder",
            arch=arch_of(state, "v.blocks."),
            norm_eps=1e-6,
        ),
        encoder_norm=1e-6,
        pooling="first2",
        pooled_norm=1e-5,
        head=dict(type="MetaLinearHead", num_classes=state[_HEAD].shape[0], multi_label=True),
    )


def _unused(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return zeros for what is never read; nothing where the rest is no official audio model."""
    if not matches(official):
        return {}
    dims = official[_POSITION].shape[-1]
    shapes = ((1, 1, dims), (1, 1, dims), (_VISION_CLASSES, dims), (_VISION_CLASSES,))
    return {key: official[_POSITION].new_zeros(shape) for key, shape in zip(_UNUSED, shapes, strict=True)}


_RULES = KeyRules(
    [
        Drop("v.cls_token", "the official code does not put it before the patches", _unused),
        Drop("v.dist_token", "the official code does not put it before the patches"),
        Drop("v.head.*", "the official code does not call it"),
        Rename(_POSITION, "tokenizer.pos_embed"),
        Rename("v.patch_embed.proj.*", "tokenizer.proj.*"),
        Rename("v.blocks.*", "encoder.blocks.*"),
        Rename("v.norm.*", "encoder_norm.*"),
        Rename("mlp_head.0.*", "pooled_norm.*"),
        Rename("mlp_head.1.*", "head.fc.*"),
    ]
)
