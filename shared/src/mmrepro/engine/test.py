"""The test entry point behind every paper's ``tools/test.py``; ``python -m mmrepro.engine.test`` serves all."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .options import testing_parser
from .start import prepared

if TYPE_CHECKING:
    from mmengine.config import Config


def main(paper: str | None = None, argv: Sequence[str] | None = None) -> None:
    """Test as the command line says.

    Args:
        paper: the paper whose configs may be named without a path; None for all.
        argv: the arguments; by default the process's own.
    """
    args = testing_parser(paper).parse_args(argv)
    with prepared(args, paper, lambda config: _change(config, args)) as config:
        metrics = _test(config)
        if args.out and metrics is not None:
            Path(args.out).parent.mkdir(parents=True, exist_ok=True)
            Path(args.out).write_text(json.dumps(_plain(metrics), indent=2) + "\n", encoding="utf-8")


def _change(config: Config, args: argparse.Namespace) -> None:
    for key in ("test_dataloader", "test_cfg", "test_evaluator"):
        if config.get(key) is None:
            raise UserError(f"the config has no {key}: nothing to test")
    if args.out and not args.out.endswith(".json"):
        raise UserError(f"--out {args.out}: the metrics are written as JSON, name the file *.json")
    if "://" not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise UserError(f"no checkpoint {args.checkpoint}")
    config.load_from, config.resume = args.checkpoint, False
    if args.amp:
        config.test_cfg.fp16 = True  # autocast to the device's own type, whatever its name says
        config.custom_hooks = [*(config.get("custom_hooks") or []), dict(type="Float32PredictionsHook")]
    if args.tta:
        _augment(config)
    if args.show_dir:
        hook = config.get("default_hooks", {}).get("visualization")
        if hook is None:
            raise UserError("--show-dir needs a config with default_hooks.visualization")
        # a relative one would lie below the work directory
        hook.update(draw=True, test_out_dir=str(Path(args.show_dir).absolute()))


def _augment(config: Config) -> None:
    """Test with the config's own augmentation, in OpenMMLab's form: ``tta_model`` around the model, other data."""
    for key in ("tta_model", "tta_pipeline"):
        if config.get(key) is None:
            raise UserError(f"--tta: {config.filename} has no {key}. Fix: add it, or test at one scale")
    config.model = dict(config.tta_model, module=config.model)
    dataset = config.test_dataloader.dataset
    while "dataset" in dataset:  # inside data sets that wrap another
        dataset = dataset.dataset
    dataset.pipeline = config.tta_pipeline


def _test(config: Config) -> dict | None:
    """Return the metrics; None in all processes but the main one."""
    from mmengine.dist import is_main_process
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    runner = RUNNERS.build(config) if "runner_type" in config else Runner.from_cfg(config)
    metrics = runner.test()
    return metrics if is_main_process() else None


def _plain(value: Any) -> Any:
    """Return metrics in JSON's types: arrays as lists, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch, scalars too
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    main()
