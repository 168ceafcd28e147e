"""From the command line to the config that the Runner gets."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmrepro import papers

from .errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

# Keys that mmengine reads from the config beside the Runner's arguments.
_EXTRA_KEYS = {
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "efficient_conv_bn_eval",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "runner_type",
    "sync_bn",
}


def load(args: argparse.Namespace, paper: str | None) -> Config:
    """Return the config that the arguments name, changed by their options.

    Raises:
        UserError: no such config, one that cannot be read, or an option that does not fit it.
    """
    from mmengine.config import Config
    from mmengine.config.utils import ConfigParsingError

    if args.data_root:
        os.environ["MMREPRO_DATA_ROOT"] = str(Path(args.data_root).resolve())
    path = find(args.config, paper)
    try:
        config = Config.fromfile(path)
    except ImportError as error:
        raise UserError(f"{path}: {_root(error)}. Is the package installed that its custom_imports name?") from error
    except (ConfigParsingError, SyntaxError, NameError, OSError) as error:
        raise UserError(f"{path}: {error}") from error
    merge(config, args.cfg_options)
    config.work_dir = args.work_dir or config.get("work_dir") or str(Path("work_dirs") / path.stem)
    return config


def find(name: str, paper: str | None) -> Path:
    """Return the file of a config given by its path or its bare name.

    Raises:
        UserError: there is none; close names are listed.
    """
    if Path(name).is_file():
        return Path(name)
    papers_to_search = [paper] if paper else papers.names()
    stem = Path(name).name.removesuffix(".py")
    found = {path.stem: path for each in papers_to_search for path in papers.configs(each)}
    if stem in found:
        return found[stem]
    close = difflib.get_close_matches(stem, found, n=3, cutoff=0.3)
    hint = f" Did you mean: {', '.join(close)}?" if close else ""
    raise UserError(f"{name} is neither a file nor a config of {paper or 'an installed paper'}.{hint}")


def merge(config: Config, options: Sequence[str]) -> None:
    """Merge ``key=value`` strings into a config, in place.

    Raises:
        UserError: a string without ``=``, a first key that neither the config nor the Runner knows, or one that leads
            into something that has no keys.
    """
    from mmengine.config import DictAction

    for option in options:
        key, equals, value = option.partition("=")
        first = key.split(".")[0]
        if not (equals and first):
            raise UserError(f"--cfg-options {option}: write it as key=value")
        known = {*config.keys(), *_runner_keys()}
        if first not in known:
            close = difflib.get_close_matches(first, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(f"--cfg-options {option}: the config has no {first!r}.{hint}")
        try:
            config.merge_from_dict({key: DictAction._parse_iterable(value)})
        except (AssertionError, KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"--cfg-options {option}: {error}") from error


def use_bf16(config: Config) -> None:
    """Make a config train in bfloat16, with one optimizer or with one for each part of the model.

    Raises:
        UserError: the config has an optimizer wrapper that this does not know.
    """
    for wrapper in optim_wrappers(config.optim_wrapper):
        kind = wrapper.setdefault("type", "OptimWrapper")
        if kind == "AmpOptimWrapper":  # its loss scale and dtype are what this replaces
            wrapper.pop("loss_scale", None)
            wrapper.pop("dtype", None)
        elif kind not in ("OptimWrapper", "BFloat16OptimWrapper"):
            raise UserError(f"--amp knows OptimWrapper and AmpOptimWrapper, the config has {kind}")
        wrapper["type"] = "BFloat16OptimWrapper"


def optim_wrappers(config: dict) -> list[dict]:
    """Return the configs of single optimizers in an ``optim_wrapper``: itself, or those of the parts of a model."""
    return [config] if "optimizer" in config else _parts(config)


def has_several_optimizers(config: Config) -> bool:
    """Return whether the parts of a config's model have an optimizer each, as in GAN training."""
    return "optimizer" not in config.optim_wrapper and bool(_parts(config.optim_wrapper))


def scale_learning_rate(config: Config, processes: int) -> str | None:
    """Scale the learning rates with the batch size where ``auto_scale_lr`` is enabled, once, in the config itself.

    Returns a sentence that says what was done, None where nothing was.

    Raises:
        UserError: the config states no ``base_batch_size``.
    """
    settings = config.get("auto_scale_lr") or {}
    if not settings.get("enable", False):
        return None
    if "base_batch_size" not in settings:
        raise UserError("auto_scale_lr needs the batch size that the learning rate is meant for: set base_batch_size")
    base, each = settings["base_batch_size"], config.train_dataloader.batch_size
    ratio = processes * each / base
    settings["enable"] = False  # done here; the Runner must not do it again
    if ratio == 1:
        return None
    before, after = [], []
    for wrapper in optim_wrappers(config.optim_wrapper):
        optimizer = wrapper["optimizer"]
        before.append(f"{optimizer['lr']:g}")
        optimizer["lr"] *= ratio
        after.append(f"{optimizer['lr']:g}")
    return (
        f"auto_scale_lr: the learning rate goes from {', '.join(before)} to {', '.join(after)}, since {processes} "
        f"process(es) x {each} samples = a batch of {processes * each}, and it is meant for {base}."
    )


def _root(error: BaseException) -> BaseException:
    """Return the error that a chain of errors began with: mmengine's own says no more than its search path."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def _parts(config: dict) -> list[dict]:
    return [part for part in config.values() if isinstance(part, dict) and "optimizer" in part]


def _runner_keys() -> set[str]:
    from mmengine.runner import Runner

    return {*inspect.signature(Runner.__init__).parameters, *_EXTRA_KEYS} - {"self", "cfg"}
