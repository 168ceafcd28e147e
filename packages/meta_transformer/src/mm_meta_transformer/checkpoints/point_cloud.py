"""Official point cloud checkpoints: ModelNet40, ScanObjectNN, S3DIS, ScanNet and ShapeNetPart.

The order of a cloud's summaries shows in no weight: three are taken for ``cls, max, avg``, two of a classifier for
``max, cls`` and of a segmenter for ``cls, max``, as in the official configs. A file without ``num_batches_tracked`` is
taken as one of 0 batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mm_meta_transformer.checkpoints.batch_norm import with_counts
from mm_meta_transformer.checkpoints.encoder import arch_of
from mmrepro.key_rules import KeyRules, Rename

_PATCHES = "encoder.patch_embed"


def matches(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are those of an official point cloud model."""
    return "encoder.cls_pos" in state and any(key.startswith(f"{_PATCHES}.conv") for key in state)


def rules(state: Mapping[str, Tensor]) -> KeyRules:
    """Return the rules for a state dict in either layout."""
    segments = any(key.startswith("decoder.") for key in state)
    return with_counts(
        [
            Rename("encoder.cls_token", "tokenizer.cls_token"),
            Rename("encoder.cls_pos", "tokenizer.cls_pos"),
            Rename("encoder.pos_embed.*", "tokenizer.pos_embed.*"),
            Rename(f"{_PATCHES}.*", "tokenizer.*"),
            Rename("encoder.blocks.*", "encoder.blocks.*"),
            Rename("encoder.norm.*", "encoder_norm.*"),
            Rename("decoder.decoder.{i}.0.convs.{j}.*", "decoder.levels.{i}.{j}.*"),
            Rename("decoder.convc.0.0.*", "decoder.category.0.*"),
            Rename("head.head.*" if segments else "prediction.head.*", "head.fc.*"),
        ],
        state,
    )


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the config of the model that an official state dict belongs to.

    Args:
        state: a complete official state dict, :func:`matches`.
    """
    dims = state["encoder.cls_token"].shape[-1]
    arch = arch_of(state, "encoder.blocks.")
    encoder = dict(type="MetaTransformerEncoder", arch=arch)
    if "encoder.blocks.0.attn.qkv.bias" not in state:
        encoder["qkv"] = "none"
    parts = dict(tokenizer=_tokenizer(state), encoder=encoder)
    segments = any(key.startswith("decoder.") for key in state)
    prefix = "head.head" if segments else "prediction.head"
    numbers = sorted({int(key.split(".")[2]) for key in state if key.startswith(f"{prefix}.")})
    if not numbers:
        raise KeyError(f"{prefix}.0.0.weight")
    widths = [state[f"{prefix}.{number}.0.weight"].shape for number in numbers]
    hidden, summaries = tuple(shape[0] for shape in widths[:-1]), widths[0][1] // dims
    head: dict[str, Any] = dict(num_classes=widths[-1][0], hidden=hidden)
    if hidden:
        head["norm"] = _norm(state, f"{prefix}.0")
        if numbers[1] == 1:  # else there is a layer of dropout between, and its rate shows nowhere
            head["dropout"] = 0.0
    if not segments:
        found = ("max", "cls") if summaries == 2 else ("cls", "max", "avg")[:summaries]
        return dict(
            type="MetaTransformerPointCls", **parts, head=dict(type="PointClsHead", **head), global_features=found
        )
    if len(hidden) == 1 and hidden[0] == widths[0][1]:  # ScanNet's: as wide as its input, which has a maximum appended
        summaries //= 2
        head |= dict(hidden=None, append=("max",))
    decoder: dict[str, Any] = dict(type="PointDecoder", global_features=("cls", "max", "avg")[: summaries - 1])
    if (category := state.get("decoder.convc.0.0.weight")) is not None:
        decoder["num_categories"] = category.shape[1]
    return dict(type="MetaTransformerPointSeg", **parts, decoder=decoder, head=dict(type="PointSegHead", **head))


def _tokenizer(state: Mapping[str, Tensor]) -> dict[str, Any]:
    if f"{_PATCHES}.conv1.0.0.weight" in state:
        channels = tuple(state[f"{_PATCHES}.{layer}.0.weight"].shape[0] for layer in ("conv1.0", "conv1.1", "conv2.0"))
        return dict(type="PointPatchTokenizer", channels=channels, norm=_norm(state, f"{_PATCHES}.conv1.0"))
    stages = sum(f"{_PATCHES}.convs.{stage}.0.0.0.weight" in state for stage in range(len(state)))
    in_channels = state[f"{_PATCHES}.convs.0.0.0.0.weight"].shape[1] - 3
    norm = _norm(state, f"{_PATCHES}.convs.0.0.0")
    return dict(type="P3Tokenizer", in_channels=in_channels, sample_ratio=0.25**stages, norm=norm)


def _norm(state: Mapping[str, Tensor], layer: str) -> str | None:
    """Return the kind of norm of a layer, a :func:`.point_layer`."""
    if f"{layer}.1.weight" not in state:
        return None
    return "bn" if f"{layer}.1.running_mean" in state else "ln"
