"""Official checkpoints to ours and back, and which variant a checkpoint is.

Official files are those of Traffic-X/ViT-CoMer: main @ b57f386 for mmdet 2 and mmsegmentation 0, and branch Co-DETR @
8f2207f. Backbone, neck, RPN, RoI, UPerNet and FCN heads have the same names there and here, so a detector's or an
UPerNet's file is in both layouts at once. What changes: the names of Co-DETR's interactions, and those of Mask2Former's
transformer layers, which mmdet 3 calls by their use. BEiT's index tables, functions of the window's size, are not kept.
For Co-DETR's detector and heads there is no converter: the key lists are those of its backbone and neck, and no file
with the others' keys was published. Here they have mmdet 3's names for DINO.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mm_vit_comer.checkpoint_sizes import PARTS, heads_of, model_settings, variant_of
from mm_vit_comer.models import sfp_neck, vit_baseline, vit_comer  # noqa: F401  register
from mm_vit_comer.pretrained import file_weights, source_of_weights
from mm_vit_comer.pretrained_resize import CLASS_ROWS, window_of
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, Rename, convert, differences, strip_wrappers
from mmrepro.model_settings import require_same_settings, stored_settings
from mmrepro.ops.windows import relative_position_index
from mmrepro.safe_loading import source_of

_TABLE = "backbone.blocks.{i}.attn.relative_position_bias_table"
_INDEX = "backbone.blocks.{i}.attn.relative_position_index"
_INTERACTION = "backbone.interactions.{i}"
_CO_DETR = {"multiconv": "mrfp", "injector": "cti_tov", "extractor": "cti_toc", "extra_extractors": "extra_CTIs"}
_CO_DETR_QUERIES = "query_head."  # of its detector, in which DINO's head holds encoder and decoder
# The order of use in mmdet 2's config of the head: queries look at the map before they look at each other.
_MASK2FORMER = {
    "pixel_decoder.encoder": {"attentions.0": "self_attn", "ffns.0": "ffn"},
    "transformer_decoder": {"attentions.0": "cross_attn", "attentions.1": "self_attn", "ffns.0": "ffn"},
}
_OFFICIAL = re.compile(
    rf"backbone\.interactions\.\d+\.({'|'.join(_CO_DETR)})\..+|backbone\.blocks\.\d+\.attn\.relative_position_index"
    r"|decode_head\.(pixel_decoder\.encoder|transformer_decoder)\.layers\.\d+\.(attentions|ffns)\.\d+\..+"
)
_SEGMENTATION = ("decode_head", "auxiliary_head")
# Parts of Co-DETR whose sizes are not read; a bbox_head is one where its kind is unknown. Their weights are taken as
# they are.
_UNREAD = (
    *("bbox_head", "encoder", "decoder", "query_embedding", "dn_query_generator", "memory_trans_fc"),
    *("memory_trans_norm", "atss_head", "downsample", "positive_queries"),
)
# These show in no shape: a checkpoint of ours carries them in its meta.
_INVISIBLE = ("add_vit_feature", "windows")
_GUESSED = "backbone.variant"  # from the heads; where it matters to the maps, one of the two above differs
_FIXES = {
    "heads": "a config of the file's kind, or a file of the config's",
    "backbone.windows": "give the model the file's backbone.window_attn and backbone.window_size",
}


@dataclass(frozen=True)
class WithoutClassRows(Rename):
    """A bias table without its rows for a class token, which no trunk here has; there is no way back to them."""

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        (table,) = tensors
        window = window_of(table.shape[0])
        if window is None:
            raise ValueError(f"{table.shape[0]} rows are those of no square window")
        if table.shape[0] == (2 * window - 1) ** 2 + CLASS_ROWS:
            table = table[:-CLASS_ROWS]
        return [table]


class AsTheyAre(nn.Module):
    """Weights under their names, of parts whose sizes no reader here finds out.

    Args:
        state: the weights, of which names, shapes and types are kept.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        inner: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            first, _, rest = key.partition(".")
            if rest:
                inner.setdefault(first, {})[rest] = tensor
            else:
                self.register_buffer(first, torch.empty_like(tensor, device="meta"))
        for name, part in inner.items():
            self.add_module(name, AsTheyAre(part))


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether keys have the official code's names where ours differ (wrappers and ``module.`` are stripped).

    A detector's or an UPerNet's file has the same names in both layouts: it is ours as it is, and the answer is False.
    """
    return any(_OFFICIAL.fullmatch(key) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
) -> dict[str, Tensor]:
    """Return our state dict for an official one: of a whole network, or of its backbone, neck or head alone.

    Args:
        state: the official state dict, wrapped or bare.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: a key is not accounted for, or the target is of another variant, which is named; or an
            index table orders a bias table's rows otherwise; or the file is a whole detector of Co-DETR.
    """
    state = strip_wrappers(state, source)
    if foreign := next((key for key in state if key.startswith(_CO_DETR_QUERIES)), None):
        line = f"{foreign} and others have no name here. Fix: keep the keys of backbone and neck, or train its config"
        raise CheckpointMismatchError(source, {"it is a whole detector of the official Co-DETR": [line]})
    problems = {"index tables that are not the official ones": _odd_indices(state)}
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    rules = _rules(co_detr=_is_co_detr(state))
    if target is not None:
        wanted = target.state_dict() if isinstance(target, nn.Module) else target
        _require_same_variant(rules.known(state), wanted, source)
    return convert(state, rules, target, source)


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official state dict for one of ours; BEiT's backbone as in Co-DETR, unless a segmentor's.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    return _rules(co_detr=_is_co_detr(state)).backward(state)


def infer_config(state: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return ``{"model": {part: settings}}``: what the shapes say, in either layout, however incomplete.

    Parts are ``backbone``, ``neck``, ``rpn_head``, ``roi_head``, ``bbox_head`` (ATSS's or GFL's), ``decode_head`` and
    ``auxiliary_head``, each where the file has it. The number of heads of a plain ViT shows in no shape: it is that of
    published ones, 64 channels each.

    Args:
        state: a state dict.
    """
    ours = _rules(co_detr=_is_co_detr(state)).known(state) if is_official(state) else state
    return {"model": model_settings(ours)}


def target(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the parts, on the meta device, that have the sizes of a state dict in either layout, in our layout.

    A complete file fills them; of an incomplete or misshapen one, the keys that do not fit are those at fault.
    Co-DETR's encoder, decoder and ATSS head are taken as they are.

    Args:
        state: a state dict.
    """
    parts: dict[str, nn.Module] = {}
    for part, settings in infer_config(state)["model"].items():
        # whatever scope another library's model has left
        scope = "mmseg" if part in _SEGMENTATION else "mmdet"
        with torch.device("meta"), DefaultScope.overwrite_default_scope(scope):
            parts[part] = MODELS.build(ConfigDict(settings))
    whole = nn.ModuleDict(parts)
    for name in _UNREAD:
        inner = {key[len(name) + 1 :]: tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
        if inner and name not in parts:
            whole[name] = AsTheyAre(inner)
    if (embedding := state.get("level_embed")) is not None:
        whole.register_buffer("level_embed", torch.empty_like(embedding, device="meta"))
    return whole


def require_same_model(model: nn.Module, checkpoint: Mapping[str, Any], ignore: Sequence[str] = ()) -> None:
    """Compare a checkpoint with a model: sizes by the shapes, the rest by the meta of a checkpoint of ours.

    Args:
        model: a detector or segmentor with this package's backbone.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: settings that may differ, or parts: ``roi_head.bbox_head.num_classes``, ``decode_head``; ``heads``
            where the file is of another kind of network.

    Raises:
        CheckpointMismatchError: some differ: both variants are named, and each setting with what to set; or the file
            holds a public ViT's weights, which is named, or another network.
    """
    source = source_of(checkpoint)
    public = source_of_weights(file_weights(checkpoint, source))
    if public is not None:
        start = f"init_cfg=dict(type='PretrainedViT', checkpoint={source!r}, source={public!r})"
        line = f"they are the start of a training. Fix: {start} in the backbone instead of load_from"
        raise CheckpointMismatchError(source, {f"it holds the weights of a public ViT alone ({public})": [line]})
    state = _ours(checkpoint, source)
    if not any(key.startswith("backbone.") for key in state):
        line = f"no key begins with 'backbone.'; the first is {next(iter(state))}. Fix: a file of a whole network"
        raise CheckpointMismatchError(source, {"it is no network with this backbone": [line]})
    there, here = model_settings(state), settings_of(model)
    there["backbone"] |= stored_settings(checkpoint.get("meta"), "backbone", _INVISIBLE)
    _require_same_settings(there, here, source, ignore)


def settings_of(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return a model's settings by part: what its shapes say, and of the backbone what only its attributes say.

    These are ``add_vit_feature``, and ``windows``, each block's side in tokens or None.
    """
    settings = model_settings(model.state_dict())
    backbone = model.get_submodule("backbone")
    if hasattr(backbone, "add_vit_feature"):
        settings["backbone"]["add_vit_feature"] = backbone.add_vit_feature
    settings["backbone"]["windows"] = [getattr(block.attn, "window_size", None) for block in backbone.blocks]
    return settings


def _ours(checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    state = strip_wrappers(checkpoint, source)
    return from_official(state, source=source) if is_official(state) else state


def _require_same_variant(state: Mapping[str, Tensor], wanted: Mapping[str, Any], source: str) -> None:
    """Name the variants where the file and the target are of other sizes."""
    shapes = {key: torch.empty(tuple(getattr(shape, "shape", shape)), device="meta") for key, shape in wanted.items()}
    there, here = model_settings(state), model_settings(shapes)
    if any(differences(state, shapes).values()):
        _require_same_settings(there, here, source)


def _require_same_settings(
    there: Mapping[str, Any], here: Mapping[str, Any], source: str, ignore: Sequence[str] = ()
) -> None:
    def skip(name: str) -> bool:
        return any(f"{name}.".startswith(f"{one}.") for one in (_GUESSED, *ignore))

    kinds = {"file": heads_of(there), "config": heads_of(here)}
    heads = [{"heads": kind} if all(kinds.values()) else {} for kind in kinds.values()]
    found, own = heads[0] | _flat(there), heads[1] | _flat(here)
    require_same_settings(found, own, source, (variant_of(there), variant_of(here)), _difference, skip)


def _difference(name: str, there: Any, here: Any) -> str:
    fix = _FIXES.get(name, f"give the model the file's {name}")
    return f"{name}: {there!r} in the file, {here!r} in the config. Fix: {fix}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):  # the stages of a cascade
            value = {str(number): one for number, one in enumerate(value)}
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _is_co_detr(state: Mapping[str, Tensor]) -> bool:
    """Return whether a file is, or becomes, one of branch Co-DETR: it has BEiT's blocks and is no segmentor's."""
    beit = any(re.match(r"backbone\.blocks\.\d+\.(attn\.q_bias|gamma_1)", key) for key in state)
    names = any(re.match(rf"backbone\.interactions\.\d+\.({'|'.join(_CO_DETR)})\.", key) for key in state)
    return names or (beit and not any(key.startswith("decode_head.") for key in state))


@cache
def _rules(co_detr: bool) -> KeyRules:
    """Return the rules; the interactions' names are Co-DETR's or those of the main branch.

    Files of the second kind with BEiT's blocks were published for COCO-Stuff, by code that was not; its names are taken
    to be those of the main branch.
    """
    backbone = ("pos_embed", "level_embed", "patch_embed.proj.*", "spm.*", "up.*", "up{i}.*", "norm{i}.*")
    names = _CO_DETR if co_detr else {name: name for name in _CO_DETR.values()}
    rules: list[Rename | Drop] = [
        Drop(_INDEX, "computed from the window's size", recreate=_indices if co_detr else None),
        WithoutClassRows(_TABLE, _TABLE),
        *(Rename(f"backbone.{name}", f"backbone.{name}") for name in (*backbone, "blocks.{i}.*")),
        *(Rename(f"{_INTERACTION}.{theirs}.*", f"{_INTERACTION}.{ours}.*") for theirs, ours in names.items()),
    ]
    for part, renamed in _MASK2FORMER.items():
        layer = f"decode_head.{part}.layers.{{i}}"
        rules += [Rename(f"{layer}.{theirs}.*", f"{layer}.{ours}.*") for theirs, ours in renamed.items()]
        rules.append(Rename(f"{layer}.norms.*", f"{layer}.norms.*"))
    # what is left of these parts has the same names in mmdet 2 and 3, and in mmsegmentation 0 and 1
    rules += [Rename(f"{part}.*", f"{part}.*") for part in dict.fromkeys((*PARTS, *_UNREAD)) if part != "backbone"]
    rules.append(Rename("level_embed", "level_embed"))
    return KeyRules(rules)


def _indices(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found, made = {}, {}
    for key, table in state.items():
        if not re.fullmatch(r"backbone\.blocks\.\d+\.attn\.relative_position_bias_table", key):
            continue
        window = window_of(table.shape[0])
        if window is not None:
            made[window] = made[window] if window in made else relative_position_index(window).to(table.device)
            found[key.replace("bias_table", "index")] = made[window]
    return found


def _odd_indices(state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each index table of a file that does not say what the official one says."""
    lines = []
    made = _indices(state)
    for key, wanted in made.items():
        theirs = state.get(key)
        if theirs is None or theirs.is_meta:
            continue
        side = isqrt(theirs.shape[0])
        # a table with a class token has its row and column first
        tokens = theirs[1:, 1:] if side * side != theirs.shape[0] else theirs
        if tokens.shape != wanted.shape or not torch.equal(tokens.to(wanted), wanted):
            lines.append(f"{key}: orders the rows of the bias table otherwise. Fix: take the original file")
    return lines
