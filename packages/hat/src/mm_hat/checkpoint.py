"""Official checkpoints to ours and back, and whether a checkpoint belongs to a config.

Official files are ``torch.save({"params": ..., "params_ema": ...})`` of BasicSR, for XPixelGroup/HAT @ 1638a9a: a
generator (``HAT``) or a discriminator (``UNetDiscriminatorSN``) each. Ours hold both under ``generator.`` and
``discriminator.``, with the official names below. What changes beside the prefix: the two index tables, which are
functions of the window's size, are recomputed here instead of stored. A file's own tables are compared with ours first,
since rows of the bias tables mean nothing without them: the official overlapping index has negative entries that wrap
around (arXiv 2205.04437 describes the block, the code has the slip), so it is compared modulo the table's length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mm_hat.checkpoint_sizes import (
    DISCRIMINATOR,
    GENERATOR,
    OVERLAP_INDEX,
    TABLE,
    WINDOW_INDEX,
    discriminator_sizes,
    generator_sizes,
    index_tables,
    parts,
    variant_of,
)
from mm_hat.models.discriminator import UNetDiscriminatorWithSpectralNorm
from mm_hat.models.hat import HAT
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, Rename, convert, differences, strip_wrappers
from mmrepro.model_settings import require_same_settings, stored_settings
from mmrepro.safe_loading import source_of

_BLOCK = "layers.{i}.residual_group.blocks.{j}"
_OVERLAP = "layers.{i}.residual_group.overlap_attn"
_KEYS = (
    *("conv_first.*", "patch_embed.norm.*", "absolute_pos_embed"),
    *(f"{_BLOCK}.{name}.*" for name in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")),
    *(f"{_BLOCK}.conv_block.cab.{name}.*" for name in ("0", "2", "3.attention.1", "3.attention.3")),
    *(f"{_BLOCK}.attn.{TABLE}", f"{_OVERLAP}.{TABLE}"),
    *(f"{_OVERLAP}.{name}.*" for name in ("norm1", "norm2", "qkv", "proj", "mlp.fc1", "mlp.fc2")),
    *("layers.{i}.conv.*", "norm.*", "conv_after_body.*", "conv_before_upsample.0.*", "upsample.{i}.*", "conv_last.*"),
)

# These show in no shape: a checkpoint of ours carries them in its meta, and the generator's ``type``.
_INVISIBLE = ("conv_scale", "img_range")
_OFFICIAL_TYPE = "HAT"

_OFFICIAL = re.compile(
    r"(conv_first|patch_embed|layers|norm|conv_after_body|conv_before_upsample|upsample|conv_last|conv\d+)\..*"
    r"|relative_position_index_(SA|OCA)|absolute_pos_embed"
)


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether the keys are the official code's (wrappers and ``module.`` already stripped)."""
    return any(_OFFICIAL.fullmatch(key) for key in state)


def from_official(
    state: Mapping[str, Tensor],
    target: Mapping[str, Sequence[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
) -> dict[str, Tensor]:
    """Return our state dict for an official one of a generator or of a discriminator.

    Args:
        state: the official state dict; or what holds it under ``params_ema``, which is taken first, or ``params``.
        target: the keys and shapes to fill, or the model that has them; None checks the official side alone.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: a key is not accounted for, or an index table orders the bias table's rows otherwise.
    """
    state = strip_wrappers(state, source)
    problems = {"index tables that are not the official ones": _odd_indices(state)}
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    return convert(state, _RULES, target, source)


def to_official(
    state: Mapping[str, Tensor], *, part: Literal["generator", "discriminator"] = "generator"
) -> dict[str, Tensor]:
    """Return the official state dict for one of ours; index tables are as in official files, negative entries included.

    Args:
        state: our state dict.
        part: which network, where a GAN's state dict holds both: official files hold one each.

    Raises:
        CheckpointMismatchError: a key is not accounted for.
    """
    prefixes = {prefix for prefix in (GENERATOR, DISCRIMINATOR) if any(key.startswith(prefix) for key in state)}
    if len(prefixes) == 2:
        other = DISCRIMINATOR if part == "generator" else GENERATOR
        state = {key: value for key, value in state.items() if not key.startswith(other)}
    return _RULES.backward(state)


def require_official(meta: Mapping[str, Any], source: str = "the checkpoint") -> None:
    """Refuse a checkpoint whose generator the official code does not have, by its meta.

    Args:
        meta: of one of our checkpoints.
        source: what an error calls the file.

    Raises:
        CheckpointMismatchError: the generator is no HAT, though its keys are those of one.
    """
    kind = _invisible_in(meta).get("type", _OFFICIAL_TYPE)
    if kind != _OFFICIAL_TYPE:
        line = f"its generator is a {kind}, which gives other pictures than a HAT of the same weights"
        raise CheckpointMismatchError(source, {"the official code has no such network": [line]})


def infer_config(
    state: Mapping[str, Tensor], *, conv_scale: float | None = None, img_range: float | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": {"generator": settings}}``: what the shapes say, in either layout, however incomplete.

    A discriminator's are under ``discriminator``.

    Args:
        state: a state dict.
        conv_scale, img_range: how the generator was trained; no weight shows them, so they are left out unless given.
    """
    found: dict[str, Any] = {}
    generator, discriminator = parts(state)
    if generator or not discriminator:
        given = {"conv_scale": conv_scale, "img_range": img_range}
        given = {name: value for name, value in given.items() if value is not None}
        found["generator"] = {"type": _OFFICIAL_TYPE} | generator_sizes(generator) | given
    if discriminator:
        sizes = discriminator_sizes(discriminator)
        found["discriminator"] = {"type": "UNetDiscriminatorWithSpectralNorm"} | sizes
    return {"model": found}


def target(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the networks, on the meta device, that have the sizes of a state dict in either layout, in our layout.

    A complete file fills them; of an incomplete or misshapen one, the keys that do not fit are those at fault.
    """
    classes: dict[str, type[nn.Module]] = {"generator": HAT, "discriminator": UNetDiscriminatorWithSpectralNorm}
    networks = {}
    with torch.device("meta"):
        for name, settings in infer_config(state)["model"].items():
            kwargs = {key: value for key, value in settings.items() if key != "type"}
            networks[name] = classes[name](**kwargs)
    return nn.ModuleDict(networks)


def require_same_model(model: nn.Module, checkpoint: Mapping[str, Any], ignore: Sequence[str] = ()) -> None:
    """Compare a checkpoint's generator with the model's: sizes by the shapes, the rest by the checkpoint's meta.

    An official file is a HAT's. One of ours whose meta does not name the generator's type is not compared in it.

    Args:
        model: one of this package's, with a ``generator``.
        checkpoint: a loaded checkpoint, ours or an official one.
        ignore: names of settings that may differ, such as ``upscale``.

    Raises:
        CheckpointMismatchError: some differ, and both variants are named, and each setting with what to set; or the
            file holds another network.
    """
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    if not is_official(state) and not any(key.startswith((GENERATOR, DISCRIMINATOR)) for key in state):
        other = f"no tensor has one of HAT's names; the first is {next(iter(state))}. Fix: a file of HAT's weights"
        raise CheckpointMismatchError(source, {"it is another network": [other]})
    found = infer_config(state)["model"]
    if "generator" not in found:
        wanted = "a discriminator in the file. Fix: take the generator's file, official names are net_g_*.pth"
        raise CheckpointMismatchError(source, {"it is another network": [wanted]})
    found, here = found["generator"], settings_of(model)
    if not is_official(state):
        del found["type"]  # a guess: other types have the same keys
    found |= _invisible_in(checkpoint.get("meta"))
    kinds = (variant_of(found), variant_of(here))
    require_same_settings(found, here, source, kinds, _difference, skip=ignore.__contains__)


def settings_of(model: nn.Module) -> dict[str, Any]:
    """Return a model's generator settings: its type, what its shapes say, and what only its attributes say."""
    settings = infer_config(model.state_dict())["model"]["generator"]
    settings["type"] = type(model.get_submodule("generator")).__name__
    for name in _INVISIBLE:  # the network's own, or its blocks'
        owner = next((module for module in model.modules() if hasattr(module, name)), None)
        settings |= {} if owner is None else {name: getattr(owner, name)}
    return settings


@torch.no_grad()
def load_strictly(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Load a checkpoint into a model, converting an official one. A GAN takes a generator's file as well.

    Raises:
        CheckpointMismatchError: it belongs to a model with other settings, or a key is not accounted for.
    """
    require_same_model(model, checkpoint)
    has_discriminator = any(key.startswith(DISCRIMINATOR) for key in _ours(checkpoint))
    _load(model, checkpoint, () if has_discriminator else (DISCRIMINATOR,))


@torch.no_grad()
def warm_start(model: nn.Module, checkpoint: Mapping[str, Any]) -> list[str]:
    """Start a model from a checkpoint of another scale, as the official x4 recipes start from x2.

    The official HAT option file asks for strict loading there and fails (issue #90); HAT-S's is lenient with every key.
    Here only the upsampling head may differ.

    Returns:
        The keys that keep their initial weights: x2 to x4 exactly ``generator.upsample.2.weight`` and ``.bias``.

    Raises:
        CheckpointMismatchError: something else than the scale differs.
    """
    require_same_model(model, checkpoint, ignore=["upscale"])
    return _load(model, checkpoint, (f"{GENERATOR}upsample.",))


def unfilled(model: nn.Module, checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the model's keys that a checkpoint does not fill: absent there, or of another shape."""
    state = _ours(checkpoint)
    return [key for key, own in model.state_dict().items() if key not in state or state[key].shape != own.shape]


def _load(model: nn.Module, checkpoint: Mapping[str, Any], lenient: tuple[str, ...]) -> list[str]:
    """Load what fits; only keys with a prefix of ``lenient`` may not; return those that stay as they are."""
    state = _ours(checkpoint)
    problems = {
        kind: [line for line in lines if not line.startswith(lenient)]
        for kind, lines in differences(state, model).items()
    }
    if any(problems.values()):
        raise CheckpointMismatchError(source_of(checkpoint), problems)
    fresh = unfilled(model, checkpoint)
    model.load_state_dict({key: state[key] for key in model.state_dict() if key not in fresh}, strict=not fresh)
    return fresh


def _ours(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    source = source_of(checkpoint)
    state = strip_wrappers(checkpoint, source)
    return from_official(state, source=source) if is_official(state) else state


def _invisible_in(meta: Any) -> dict[str, Any]:
    """Return what the meta of one of our checkpoints says of the generator beyond its shapes."""
    return stored_settings(meta, "generator", ("type", *_INVISIBLE))


def _difference(name: str, there: Any, here: Any) -> str:
    return f"{name}: {there} in the file, {here} in the config. Fix: set model.generator.{name}={there}"


def _recreate(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not any(key.endswith(TABLE) for key in state):  # a discriminator
        return {}
    found = index_tables(state)
    return {name: found[name].to(next(iter(state.values())).device)} if name in found else {}


def _odd_indices(state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each index table of a file that does not say what the official one says."""
    if not {WINDOW_INDEX, OVERLAP_INDEX} & state.keys():
        return []
    wanted, lines = index_tables(state), []
    for name in (WINDOW_INDEX, OVERLAP_INDEX):
        if name not in state or name not in wanted:
            continue
        theirs, ours = state[name], wanted[name]
        if theirs.shape != ours.shape:
            lines.append(f"{name}: {tuple(theirs.shape)} in the file, {tuple(ours.shape)} for its bias tables")
            continue
        if theirs.is_meta:
            continue
        length = int(ours.max() - ours.min()) + 1
        if torch.any((theirs.to(ours) - ours) % length):
            lines.append(
                f"{name}: orders the rows of the bias tables otherwise, as code with a corrected offset does. Fix: "
                "take the original file, or put the tables' rows into the official order"
            )
    return lines


_RULES = KeyRules(
    (
        *(
            Drop(name, "computed from the window's size", recreate=lambda state, name=name: _recreate(name, state))
            for name in (WINDOW_INDEX, OVERLAP_INDEX)
        ),
        *(Rename(key, f"{GENERATOR}{key}") for key in _KEYS),
        Rename("conv{i}.*", f"{DISCRIMINATOR}conv{{i}}.*"),
    )
)
