"""The training entry point behind every paper's ``tools/train.py``; ``python -m mmrepro.engine.train`` serves all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError
from .options import training_parser
from .start import prepared

if TYPE_CHECKING:
    from mmengine.config import Config


def main(paper: str | None = None, argv: Sequence[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        paper: the paper whose configs may be named without a path; None for all.
        argv: the arguments; by default the process's own.
    """
    args = training_parser(paper).parse_args(argv)
    with prepared(args, paper, lambda config: _change(config, args)) as config:
        _train(config)


def _change(config: Config, args: argparse.Namespace) -> None:
    from .configuration import use_bf16

    for key in ("train_dataloader", "train_cfg", "optim_wrapper"):
        if config.get(key) is None:
            raise UserError(f"the config has no {key}: nothing to train")
    if args.seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": args.seed}
    if args.amp:
        use_bf16(config)
    if args.auto_scale_lr:
        config.auto_scale_lr = {**(config.get("auto_scale_lr") or {}), "enable": True}
    if args.resume:
        config.resume, config.load_from = _resumed(args.resume, config.work_dir, config.get("load_from"))


def _resumed(wanted: str, work_dir: str, load_from: str | None) -> tuple[bool, str | None]:
    """Return the Runner's ``resume`` and ``load_from``: an automatic resume without a checkpoint is a fresh start."""
    from .checkpoint_hook import latest_checkpoint

    if wanted != "auto":
        if not Path(wanted).is_file():
            raise UserError(f"--resume {wanted}: no such file")
        return True, wanted
    latest = latest_checkpoint(work_dir)
    return (True, str(latest)) if latest else (False, load_from)


def _train(config: Config) -> None:
    from mmengine.dist import get_world_size
    from mmengine.logging import print_log
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from .configuration import scale_learning_rate

    scaled = scale_learning_rate(config, get_world_size())
    runner = RUNNERS.build(config) if "runner_type" in config else Runner.from_cfg(config)
    if scaled:
        print_log(scaled, logger="current")
    runner.train()


if __name__ == "__main__":
    main()
