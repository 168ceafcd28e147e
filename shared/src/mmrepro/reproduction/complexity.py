"""The first tier: the size of a model, counted without allocating it.

Convention for operations: multiply-accumulates of matrix products, convolutions and attention for one input of the
reported shape, half of what ``torch.utils.flop_counter`` counts. Norms, activations and additions count nothing.
"""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import TYPE_CHECKING

from mmrepro import papers
from mmrepro.testing import load_keys

from . import configs
from .rows import Row

if TYPE_CHECKING:
    from torch import Tensor, nn

# Statistics of batch norms: in a state dict, but no parameters.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def measure(row: Row) -> tuple[dict[str, float], dict]:
    """Build a row's model on the meta device and count.

    Returns:
        Metrics (``parameters``; ``official_parameters`` and ``official_keys`` where the key list is at hand, and
        ``never_used_parameters``, which the official ones are without, where the paper's converter knows of some;
        ``gmacs`` where a reported number exists), and details for the ledger.

    Raises:
        CheckpointMismatchError: the paper's converter does not turn the official keys into exactly our state dict.
    """
    model = build(row)
    metrics: dict[str, float] = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    details = {}
    checkout = papers.checkout(row.paper)
    if row.official_keys and checkout:
        file, _, variant = row.official_keys.partition("#")
        listed = load_keys(checkout / "tests" / "parity" / file)[variant]
        state = _state(listed)
        converter = import_module(f"{papers.module(row.paper)}.checkpoint")
        metrics["official_parameters"] = official_parameters(listed)
        if hasattr(converter, "never_used"):
            unused = sum(state[key].numel() for key in converter.never_used(state))
            metrics["official_parameters"] -= unused
            metrics["never_used_parameters"] = unused
        _require_converted(row, converter.from_official(state), model)
        metrics["official_keys"] = len(state)
        details["keys"] = row.official_keys
    if row.gmacs is not None and row.input_shape:
        metrics["gmacs"] = gmacs(model, row.input_shape)
        details["input_shape"] = list(row.input_shape)
    return metrics, details


def build(row: Row) -> nn.Module:
    """Return the model of a row's config on the meta device: shapes without values."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    config = Config.fromfile(configs.path(row))
    init_default_scope(config.get("default_scope") or "mmengine")
    with torch.device("meta"):
        return MODELS.build(config.model).to("meta")  # what a model builds on the CPU on purpose, too


def official_parameters(listed: dict) -> int:
    """Return the number of parameters of an official key list.

    The list's own count where it has one, else the elements of its keys without duplicates, integer buffers and
    batch-norm statistics.
    """
    if "n_parameters" in listed:
        return listed["n_parameters"]
    left_out = {*listed.get("aliases", ()), *listed.get("integer_buffers", ())}
    return sum(
        prod(shape)
        for key, shape in listed["state_dict"].items()
        if key not in left_out and not key.endswith(_STATISTICS)
    )


def gmacs(model: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Return the multiply-accumulates (in 1e9) of one forward pass on an input of this shape, without a batch axis."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    # With gradients: without them a model may compute parts twice to save memory, which is not its size.
    with torch.device("meta"), torch.enable_grad(), counter:
        model.eval()(torch.empty(1, *input_shape), mode="tensor")
    return counter.get_total_flops() / 2 / 1e9


def _state(listed: dict) -> dict[str, Tensor]:
    """Return a state dict of a key list, second names included, on the meta device."""
    import torch

    integers = set(listed.get("integer_buffers", ()))
    state = {
        key: torch.empty(shape, dtype=torch.long if key in integers else torch.float32, device="meta")
        for key, shape in listed["state_dict"].items()
    }
    return state | {duplicate: state[key] for duplicate, key in (listed.get("aliases") or {}).items()}


def _require_converted(row: Row, ours: dict[str, Tensor], model: nn.Module) -> None:
    """Raise CheckpointMismatchError unless converted keys are exactly the model's."""
    from mmrepro.checkpoint import CheckpointMismatchError, differences

    problems = differences(ours, model)
    if any(problems.values()):
        raise CheckpointMismatchError(row.official_keys, problems)
