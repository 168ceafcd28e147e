"""Meta-Transformer's public weights for a dense backbone's ViT: renamed, resized, and every key reported.

Files are those of the official README: ``Image_Meta-Transformer_*`` (a whole ViT, taken to have timm's names, since the
official adapter reads it so) and ``Meta-Transformer_*_encoder`` (its blocks alone). The official code reads them with
``strict=False``, which goes on with random weights where a key does not fit.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from mm_meta_transformer.models.pretrained import MIRROR, PublicFile, listed
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.dense.vit_resize import resize_grid, resize_patch_kernel

_VIT = re.compile(r"(pos_embed|patch_embed\.|blocks\.\d+\.).*")
_OF_NO_USE = re.compile(r"(cls_token|(norm|fc_norm|head)\..+)")
_ENCODER = re.compile(r"\d+\.(norm[12]|attn|mlp)\..+")
_SCALES = re.compile(r"blocks\.\d+\.gamma[12]")
_OUTSIDE_BLOCKS = re.compile(r"pos_embed|patch_embed\..+")
_WHERE = (
    "Fix: a file of the official README, which no script can fetch. In a browser, take "
    "Image_Meta-Transformer_base_patch16 from "
    "https://drive.google.com/file/d/1YEJ_r5w6N61Fhau55x_f1YOE-QWhSpmh/view or "
    "Image_Meta-Transformer_large_patch14 from https://drive.google.com/file/d/1EJf4RYA0vl3lt-H1UFbAUjBrrLf-FwNq/view "
    f"(mirror: {MIRROR}), or the encoder alone, Meta-Transformer_base_patch16_encoder or _large_patch14_encoder, "
    "from the mirror, and give its path as checkpoint"
)


@dataclass
class StartReport:
    """What became of a file of public weights.

    Args:
        file: its path or URL.
        loaded: keys of the ViT that were filled.
        resized: key, and from what to what.
        unused: keys of the file that nothing here has.
        missing: keys of the ViT that the file does not have and that keep what they begin with.
    """

    file: str
    loaded: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the report in lines."""
        resized = [f"{key}: {change}" for key, change in self.resized.items()]
        return "\n".join(
            (
                f"{self.file}: {len(self.loaded)} tensors loaded into the ViT",
                f"  resized: {'; '.join(resized) or 'none'}",
                f"  in the file and of no use here: {listed(self.unused)}",
                f"  not in the file, kept as they begin: {listed(self.missing)}",
            )
        )


def vit_weights(
    state: Mapping[str, Tensor], backbone: nn.Module, file: str = "the checkpoint"
) -> tuple[dict[str, Tensor], StartReport]:
    """Return weights for a backbone's ViT, and what became of every key of the file.

    A position table and a patch kernel are resized to the backbone's: those of the large encoder from patches of 14
    pixels to 16. Layer scales that a file lacks stay at 1; an encoder's file has no patches and positions.

    Args:
        state: the file's state dict.
        backbone: one with ``patch_embed``, ``blocks`` and ``pos_embed``, such as
            :class:`~mm_meta_transformer.dense.vit_adapter.ViTAdapterMeta`.
        file: what an error and the report call the file.

    Raises:
        CheckpointMismatchError: the file is of neither kind or of another size, or a key is not accounted for.
    """
    encoder = all(_ENCODER.fullmatch(key) for key in state)
    if encoder:
        state = {f"blocks.{key}": value for key, value in state.items()}
    elif "blocks.0.norm1.weight" not in state or "patch_embed.proj.weight" not in state:
        line = f"its keys are {', '.join(list(state)[:3])}, .... {_WHERE}"
        raise CheckpointMismatchError(file, {"it holds none of Meta-Transformer's ViTs": [line]})
    own = {key: value for key, value in backbone.state_dict().items() if _VIT.fullmatch(key)}
    _require_same_size(state, own, file)
    report, problems, weights = StartReport(file), defaultdict(list), {}
    for key, value in state.items():
        if _OF_NO_USE.fullmatch(key):
            report.unused.append(key)
            continue
        if key not in own:
            fix = ". Fix: layer_scale=True" if _SCALES.fullmatch(key) else ""
            problems["not in the model"].append(f"{key}{fix}")
            continue
        try:
            weights[key], change = _fitted(key, value, own[key])
        except ValueError as error:
            problems["cannot be resized"].append(f"{key}: {error}")
            continue
        if change:
            report.resized[key] = change
        if weights[key].shape != own[key].shape:
            shapes = f"{tuple(value.shape)} in the file, {tuple(own[key].shape)} in the model"
            problems["wrong shape"].append(f"{key}: {shapes}")
    report.missing = [key for key in own if key not in state]
    may_be_missing = [key for key in report.missing if encoder and _OUTSIDE_BLOCKS.fullmatch(key)]
    may_be_missing += [key for key in report.missing if _SCALES.fullmatch(key)]
    problems["not in the file"] += [key for key in report.missing if key not in may_be_missing]
    if any(problems.values()):
        raise CheckpointMismatchError(file, problems)
    report.loaded = list(weights)
    return weights, report


@WEIGHT_INITIALIZERS.register_module()
class PretrainedMetaViT(PublicFile):
    """Fill the ViT of a dense backbone from Meta-Transformer's public weights, and log what became of every key.

    Args:
        checkpoint: path or URL of a file: see :func:`vit_weights`.
    """

    expected: ClassVar = _WHERE

    def __call__(self, module: nn.Module) -> None:
        """Fill a backbone.

        Raises:
            FileNotFoundError: there is no such file; the message says where to get one.
            CheckpointMismatchError: see :func:`vit_weights`.
        """
        weights, report = vit_weights(self.read(), module, self.checkpoint)
        module.load_state_dict(weights, strict=False)  # every key of the ViT is accounted for
        self.finish(module, str(report))


def _require_same_size(state: Mapping[str, Tensor], own: Mapping[str, Tensor], file: str) -> None:
    there, here = _size_of(state), _size_of(own)
    if there != here:
        line = f"{there} in the file, {here} in the config. Fix: another file, or another backbone.arch"
        raise CheckpointMismatchError(file, {"it is of another size": [line]})


def _size_of(state: Mapping[str, Tensor]) -> str:
    blocks = {match[1] for key in state if (match := re.match(r"blocks\.(\d+)\.", key))}
    return f"{len(blocks)} blocks of width {state['blocks.0.norm1.weight'].shape[0]}"


def _fitted(key: str, value: Tensor, own: Tensor) -> tuple[Tensor, str]:
    """Return a weight at the model's size, and from what to what it was resized; nothing where it was not."""
    if key == "patch_embed.proj.weight" and value.ndim == 4 and value.shape[-1] != own.shape[-1]:
        before, after = value.shape[-1], own.shape[-1]
        return resize_patch_kernel(value, after), f"{before}x{before} to {after}x{after} pixels, bilinear"
    if key == "pos_embed" and value.ndim == 3 and value.shape[1] != own.shape[1]:
        side, extra = math.isqrt(value.shape[1]), value.shape[1] - math.isqrt(value.shape[1]) ** 2
        if extra > 1:
            raise ValueError(f"{value.shape[1]} rows are no square grid, with or without a class token's")
        here = math.isqrt(own.shape[1] - 1)  # the model's table has the class token's row, which is not used
        grid = resize_grid(value[:, extra:], (here, here))
        first = value[:, :1] if extra else torch.zeros_like(value[:, :1])
        return torch.cat([first, grid], 1), f"{side}x{side} to {here}x{here} positions, bicubic"
    return value, ""
