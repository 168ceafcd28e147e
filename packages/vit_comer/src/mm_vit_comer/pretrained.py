"""Weights of public ViTs for the trunk: DeiT, AugReg, MAE, DINOv2, BEiT and BEiTv2, renamed, resized, reported.

mmengine's ``Pretrained`` knows our names alone, and where a key does not fit it warns and goes on with random weights.
The official code resizes nothing for a plain ViT: its DINOv2 weights come from files that were converted before.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mm_vit_comer.pretrained_resize import resize_relative_table, window_of
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, Rename, convert, strip_wrappers
from mmrepro.dense.vit_resize import resize_grid, resize_patch_kernel
from mmrepro.safe_loading import UnreadableCheckpointError, load_from_http

_NAMES = {
    "deit": "DeiT",
    "augreg": "AugReg",
    "mae": "MAE",
    "dinov2": "DINOv2",
    "beit": "BEiT",
    "timm": "ViT (MAE's or another's under timm's names, without a head)",
}
_TIMM = ("deit", "augreg", "mae", "timm")  # the same names in the trunk
_TRUNK = re.compile(r"(pos_embed|patch_embed\.|blocks\.).*")
_SCALES = re.compile(r"blocks\.\d+\.gamma_?[12]")
_TABLE = re.compile(r"blocks\.\d+\.attn\.relative_position_bias_table")
_SHARED_TABLE = "rel_pos_bias.relative_position_bias_table"
_BLOCK = "blocks.{i}"
_KEPT = (
    *("pos_embed", "patch_embed.proj.*"),
    *(f"{_BLOCK}.{name}.*" for name in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")),
)
_HEAD = ("cls_token", "norm.*", "fc_norm.*", "head.*")
_MAE_DECODER = ("pos_embed", "embed.*", "blocks.*", "norm.*", "pred.*")
_DROPPED = {
    "deit": (*_HEAD, "dist_token", "head_dist.*"),
    "augreg": (*_HEAD, "pre_logits.*"),
    "mae": (*_HEAD, "mask_token", *(f"decoder_{name}" for name in _MAE_DECODER)),
    "timm": (*_HEAD, "dist_token", "head_dist.*", "pre_logits.*"),
    "dinov2": (*_HEAD, "mask_token", "register_tokens"),
    "beit": (
        *(*_HEAD, "mask_token", "lm_head.*", "pooler.*", "cls_pt_layers.*"),
        *(f"{_BLOCK}.attn.relative_position_index", "rel_pos_bias.relative_position_index"),
    ),
}
_AUGREG_CLASSES = (21841, 21843)
_REGISTERS = (
    "{}: this DINOv2 was trained with register tokens, which no trunk here has: its features will be worse. "
    "Fix: take the file without registers"
)


@dataclass
class PretrainedReport:
    """What became of a file of public weights.

    Args:
        file: its path or URL.
        source: whose weights they are.
        loaded: keys of the trunk that were filled.
        resized: key, and from what to what.
        dropped: keys of the file that nothing here has.
        missing: keys of the trunk that the file does not have and that keep what they begin with.
        fresh: how many tensors of the model are outside the trunk, by the first part of their name.
    """

    file: str
    source: str
    loaded: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    fresh: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the report in lines: one for each kind of key, numbered ones together."""
        resized: dict[str, list[str]] = defaultdict(list)
        for key, change in self.resized.items():
            resized[f"{_shortened(key)}: {change}"].append(key)
        changes = [f"{line} ({len(keys)})" if len(keys) > 1 else line for line, keys in resized.items()]
        fresh = [f"{name} ({count})" for name, count in self.fresh.items()]
        return "\n".join(
            (
                f"{self.file}: {self.source} weights, {len(self.loaded)} tensors loaded into the trunk",
                f"  resized: {'; '.join(changes) or 'none'}",
                f"  dropped, of no use here: {_listed(self.dropped)}",
                f"  not in the file, kept as they begin: {_listed(self.missing)}",
                f"  outside the trunk, trained from the start: {', '.join(fresh) or 'none'}",
            )
        )


def source_of_weights(state: Mapping[str, Tensor]) -> str | None:
    """Return whose ViT a state dict holds: ``deit``, ``augreg``, ``mae``, ``dinov2``, ``beit`` or ``timm``.

    DeiT's and AugReg's files of 1000 classes have the same keys and are read alike; both are called ``deit`` then.
    ``timm`` is one without a head: MAE's without its decoder, and those of others, have the same keys.

    Returns:
        None where it has no blocks under timm's names.
    """
    if "blocks.0.norm1.weight" not in state or "patch_embed.proj.weight" not in state:
        return None
    if "blocks.0.attn.q_bias" in state or "blocks.0.gamma_1" in state:
        return "beit"
    if "blocks.0.ls1.gamma" in state or "blocks.0.gamma1" in state or "register_tokens" in state:
        return "dinov2"
    head = state.get("head.weight")
    if any(key.startswith(("decoder_", "mask_token")) for key in state):
        return "mae"
    if head is None:
        return "timm"
    return "augreg" if "pre_logits.fc.weight" in state or head.shape[0] in _AUGREG_CLASSES else "deit"


def trunk_weights(
    state: Mapping[str, Tensor], backbone: nn.Module, file: str = "the checkpoint", source: str | None = None
) -> tuple[dict[str, Tensor], PretrainedReport]:
    """Return weights for a backbone's trunk, and what became of every key of the file.

    A position table, a patch kernel and BEiT's tables are resized to the backbone's. Layer scales that a file lacks
    stay, at 1 in a plain ViT.

    Args:
        state: the file's state dict.
        backbone: one with ``patch_embed``, ``blocks`` and maybe ``pos_embed``.
        file: what an error and the report call the file.
        source: whose weights they are, see :func:`source_of_weights`; None finds out.

    Raises:
        CheckpointMismatchError: the file is none of the known ones, of another source than ``source``, of another trunk
            or size than the backbone's, or a key is not accounted for.
        ValueError: ``source`` is unknown.
    """
    found = _checked_source(state, file, source)
    own = {key: value for key, value in backbone.state_dict().items() if _TRUNK.fullmatch(key)}
    _require_same_trunk(state, own, file, found)
    state, report = dict(state), PretrainedReport(file, _NAMES[found])
    if (shared := state.pop(_SHARED_TABLE, None)) is not None:
        blocks = {re.match(r"blocks\.(\d+)\.", key)[1] for key in state if key.startswith("blocks.")}
        state |= {f"blocks.{i}.attn.relative_position_bias_table": shared for i in sorted(blocks, key=int)}
    rules = _rules(found)
    ours = convert(state, rules, source=file)
    report.dropped = [key for key in state if any(_matches(pattern, key) for pattern in _DROPPED[found])]
    problems: dict[str, list[str]] = defaultdict(list)
    weights = {}
    for key, value in ours.items():
        if key not in own:
            if key == "pos_embed" or _SCALES.fullmatch(key):
                report.dropped.append(key)
            else:
                problems["not in the model"].append(key)
            continue
        try:
            weights[key], change = _fitted(key, value, own[key], found)
        except ValueError as error:
            problems["cannot be resized"].append(f"{key}: {error}")
            continue
        if change:
            report.resized[key] = change
        if weights[key].shape != own[key].shape:
            shapes = f"{tuple(value.shape)} in the file, {tuple(own[key].shape)} in the model"
            problems["wrong shape"].append(f"{key}: {shapes}")
    report.missing = [key for key in own if key not in ours]
    problems["not in the file"] += [key for key in report.missing if not _may_be_missing(key)]
    if any(problems.values()):
        raise CheckpointMismatchError(file, problems)
    report.loaded = list(weights)
    for key in backbone.state_dict():
        if key not in own:
            report.fresh[key.split(".")[0]] = report.fresh.get(key.split(".")[0], 0) + 1
    return weights, report


@WEIGHT_INITIALIZERS.register_module()
class PretrainedViT(PretrainedInit):
    """Start a backbone's trunk from a published file of a plain ViT or a BEiT; the log says what became of every key.

    ``init_cfg=dict(type='PretrainedViT', checkpoint='deit_small_patch16_224-cd65a155.pth')``

    Args:
        checkpoint: a path or URL, as mmengine knows them.
        source: ``deit``, ``augreg``, ``mae``, ``dinov2``, ``beit`` (also BEiTv2) or ``timm`` (another of timm's names),
            where the file must be that; None finds out.
    """

    def __init__(self, checkpoint: str, source: str | None = None) -> None:
        super().__init__(checkpoint)
        self.source = source

    def __call__(self, module: nn.Module) -> None:
        """Fill the trunk.

        Raises:
            CheckpointMismatchError: see :func:`trunk_weights`.
            UnreadableCheckpointError: what was fetched is not the file of that name.
        """
        if self.checkpoint.startswith(("http://", "https://")):
            loaded = _fetched(self.checkpoint)
        else:
            loaded = CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu")
        weights, report = trunk_weights(file_weights(loaded, self.checkpoint), module, self.checkpoint, self.source)
        module.load_state_dict(weights, strict=False)  # every key of the trunk is accounted for
        print_log(str(report), logger="current")
        if "register_tokens" in report.dropped:
            print_log(_REGISTERS.format(self.checkpoint), logger="current", level=logging.WARNING)
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def _fetched(url: str) -> Mapping[str, Any]:
    """Return the content of a file behind a URL, fetched once.

    mmengine and torch keep a file under the last part of its URL, and many of Hugging Face's end alike: here each URL
    has a folder of its own. Where the name ends with the beginning of its SHA-256, as DeiT's do, that is checked;
    digits alone may be a date.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16]
    loaded = load_from_http(url, "cpu", str(folder))
    file = folder / Path(urlparse(url).path).name
    if stated := re.search(r"-(?=\d*[a-f])([0-9a-f]{8,})\.\w+$", file.name):
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if not found.startswith(stated[1]):
            raise UnreadableCheckpointError(
                f"{url} was fetched as {file}, whose SHA-256 begins with {found[:8]}, not {stated[1]} as its name "
                "says. Fix: delete that file, and it is fetched again"
            )
    return loaded


def file_weights(checkpoint: Mapping[str, Any], file: str = "the checkpoint") -> dict[str, Tensor]:
    """Return the state dict of a file of public weights: bare, or under ``model``, ``module`` (BEiT), ``state_dict``.

    Raises:
        UnreadableCheckpointError: nothing in it is a state dict.
    """
    inner = checkpoint.get("module") if isinstance(checkpoint, Mapping) else None
    if isinstance(inner, Mapping) and not isinstance(checkpoint.get("model"), Mapping):
        checkpoint = inner
    return strip_wrappers(checkpoint, file)


def _checked_source(state: Mapping[str, Tensor], file: str, source: str | None) -> str:
    if source is not None and source not in _NAMES:
        raise ValueError(f"source={source!r} is unknown; there are {', '.join(map(repr, _NAMES))}, or None to find out")
    found = source_of_weights(state)
    if found is None:
        line = (
            f"its keys are {', '.join(list(state)[:3])}, ...; known are the files of {', '.join(_NAMES.values())}. "
            "Fix: take one of those, or for weights of a network of this package set load_from in the config"
        )
        raise CheckpointMismatchError(file, {"it is no known file of a public ViT": [line]})
    if source is None or source == found:
        return found
    if source in _TIMM and found in _TIMM:
        return source
    line = f"{_NAMES[found]} in the file, {_NAMES[source]} in the config. Fix: set init_cfg.source={found!r} or None"
    raise CheckpointMismatchError(file, {"it has the keys of another source": [line]})


def _require_same_trunk(state: Mapping[str, Tensor], own: Mapping[str, Tensor], file: str, source: str) -> None:
    """Refuse a file of the other trunk, or of other sizes, in one sentence instead of a line for each key."""
    beit = any(key.endswith("attn.q_bias") for key in own)
    if beit != (source == "beit"):
        there, here = ("beit", "vit") if source == "beit" else ("vit", "beit")
        line = f"{_NAMES[source]} in the file, trunk={here!r} in the config. Fix: set backbone.trunk={there!r}"
        raise CheckpointMismatchError(file, {"it is of another trunk": [line]})
    gated = [key for key in state if re.match(r"blocks\.\d+\.mlp\.w12\.", key)]
    if gated:
        line = (
            f"{gated[0]} and others: gated feed-forward parts (DINOv2's giant), which no trunk has. Fix: another file"
        )
        raise CheckpointMismatchError(file, {"it is of another network": [line]})
    there, here = _size_of(state), _size_of(own)
    if there != here:
        line = f"{there} in the file, {here} in the config. Fix: another file, or another backbone.arch"
        raise CheckpointMismatchError(file, {"it is of another size": [line]})


def _size_of(state: Mapping[str, Tensor]) -> str:
    width = state["patch_embed.proj.weight"].shape[0]
    blocks = {match[1] for key in state if (match := re.match(r"blocks\.(\d+)\.", key))}
    return f"{len(blocks)} blocks of width {width}"


def _rules(source: str) -> KeyRules:
    rules: list[Rename | Drop] = [Drop(key, "of no use in a trunk") for key in _DROPPED[source]]
    rules += [Rename(key, key) for key in _KEPT]
    if source == "dinov2":
        rules += [Rename(f"{_BLOCK}.ls{k}.gamma", f"{_BLOCK}.gamma{k}") for k in (1, 2)]
        # as in the files that the authors of ViT-CoMer give
        rules += [Rename(f"{_BLOCK}.gamma{k}", f"{_BLOCK}.gamma{k}") for k in (1, 2)]
    if source == "beit":
        names = ("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias", "attn.relative_position_bias_table")
        rules += [Rename(f"{_BLOCK}.{name}", f"{_BLOCK}.{name}") for name in names]
    return KeyRules(rules)


def _fitted(key: str, value: Tensor, own: Tensor, source: str) -> tuple[Tensor, str]:
    """Return a weight at the model's size, and from what to what it was resized; nothing where it was not."""
    if key == "pos_embed" and value.ndim == 3:
        return _fitted_positions(value, own)
    if key == "patch_embed.proj.weight" and value.ndim == 4 and value.shape[-1] != own.shape[-1]:
        before, after = value.shape[-1], own.shape[-1]
        return resize_patch_kernel(value, after), f"{before}x{before} to {after}x{after} pixels, bilinear"
    if _TABLE.fullmatch(key) and value.ndim == 2 and value.shape[0] != own.shape[0]:
        before, after = window_of(value.shape[0]), window_of(own.shape[0])
        resized = resize_relative_table(value, after)
        if before == after:
            return resized, "rows of the class token left out"
        return resized, f"windows of {before} to {after} tokens, cubic spline"
    return value, ""


def _fitted_positions(value: Tensor, own: Tensor) -> tuple[Tensor, str]:
    """Return a position table of the model's rows: extra tokens' rows first, then those of the grid."""
    rows, here = value.shape[1], own.shape[1]
    if rows == here:
        return value, ""
    side, side_here = math.isqrt(rows), math.isqrt(here)
    extra, extra_here = rows - side * side, here - side_here * side_here
    if extra > 2 or extra_here > extra:
        raise ValueError(f"{rows} rows in the file, {here} in the model: not a square grid and up to two tokens")
    # of two rows, the class token's and the distillation token's (DeiT), the first is kept
    grid = resize_grid(value[:, extra:], (side_here, side_here))
    return torch.cat([value[:, :extra_here], grid], 1), f"{side}x{side} to {side_here}x{side_here} positions, bicubic"


def _may_be_missing(key: str) -> bool:
    return _SCALES.fullmatch(key) is not None


def _matches(pattern: str, key: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"\d+").replace(r"\*", ".+"), key) is not None


def _shortened(key: str) -> str:
    return re.sub(r"\.\d+\.", ".*.", key)


def _listed(keys: list[str]) -> str:
    """Return keys, numbered ones together with how many they are."""
    counts: dict[str, int] = defaultdict(int)
    for key in keys:
        counts[_shortened(key)] += 1
    return ", ".join(f"{key} ({count})" if count > 1 else key for key, count in counts.items()) or "none"
