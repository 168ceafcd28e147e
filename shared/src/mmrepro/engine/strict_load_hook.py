"""Loading weights strictly: mmengine only warns about keys that do not fit, and goes on with random weights."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, check_options, differences, strip_wrappers
from mmrepro.safe_loading import source_of


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Convert official weights to our layout, then stop unless every key and shape fits the model.

    Args:
        paper: the paper whose converter knows the official layout; None converts nothing.
        ignore: prefixes of our keys that may be missing, or of another shape, or too many: for fine-tuning.
        agree: entries of the data set's metainfo that must be what the checkpoint was trained with, where it says so;
            for what no shape shows, such as ``time_features``.
        options: for the paper's converter, which official files lack.

    Raises:
        CheckpointMismatchError: with the file's name and every key at fault.
        ValueError: an option that the paper's converter does not have.
    """

    priority = "VERY_HIGH"  # before EMAHook, which copies the state dict that this hook converts

    def __init__(
        self,
        paper: str | None = None,
        ignore: Sequence[str] = (),
        agree: Sequence[str] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        self.paper = paper
        self.ignore = tuple(ignore)
        self.agree = tuple(agree)
        self.options = options or {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put our state dict under ``state_dict``, checked."""
        if runner._resume and "epoch" not in (checkpoint.get("meta") or {}):  # else the Runner ends in KeyError: 'meta'
            line = "it has weights, but neither step nor optimizer. Fix: load_from=..., which starts from weights alone"
            raise CheckpointMismatchError(source_of(checkpoint), {"no training can be resumed from it": [line]})
        state, model = self.read(runner, checkpoint), model_of(runner)
        problems = {
            kind: [line for line in lines if not line.startswith(self.ignore)] if self.ignore else lines
            for kind, lines in differences(state, model).items()
        }
        problems["trained with other settings"] = self._disagreements(runner, checkpoint)
        if any(problems.values()):
            raise CheckpointMismatchError(source_of(checkpoint), problems)
        shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
        checkpoint["state_dict"] = {key: value for key, value in state.items() if shapes.get(key) == value.shape}

    def read(self, runner: Runner, checkpoint: dict) -> dict[str, Tensor]:
        """Return the weights in our layout, not yet checked; a subclass may replace some of them."""
        source = source_of(checkpoint)
        state = strip_wrappers(checkpoint, source)
        if self.paper is not None:
            converter = importlib.import_module(papers.module(self.paper) + ".checkpoint")
            if converter.is_official(state):
                check_options(self.options, converter.from_official)
                return converter.from_official(state, source=source, **self.options)
        return state

    def _disagreements(self, runner: Runner, checkpoint: dict) -> list[str]:
        meta = checkpoint.get("meta") or {}
        stored = {**meta, **(meta.get("dataset_meta") or {})}
        here = metainfo_of(runner)
        both = [name for name in self.agree if name in stored and name in here]
        return [line for name in both for line in islice(_differing(name, stored[name], here[name]), 1)]


def _differing(name: str, there: Any, here: Any) -> Iterator[str]:
    """Yield what differs of two values, by the place in them; a tuple and a list of the same are equal."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from _differing(f"{name}.{key}", there.get(key), here.get(key))
    elif isinstance(there, (list, tuple)) and isinstance(here, (list, tuple)):
        if len(there) != len(here):
            yield f"{name}: {len(there)} values in the file, {len(here)} here"
        for place, pair in enumerate(zip(there, here, strict=False)):
            yield from _differing(f"{name}[{place}]", *pair)
    elif there != here:
        yield f"{name}: {there!r} in the file, {here!r} here"


def model_of(runner: Runner) -> nn.Module:
    """Return the model, without the wrappers of several processes and of test-time augmentation."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def metainfo_of(runner: Runner) -> dict[str, Any]:
    """Return the metainfo of the data set in use; the loops that are not needed are still configs."""
    for loop in (runner._train_loop, runner._test_loop, runner._val_loop):
        if isinstance(loop, BaseLoop):
            return getattr(loop.dataloader.dataset, "metainfo", {})
    return {}
