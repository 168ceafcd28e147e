"""The command line of the entry points; parsing it needs the standard library alone."""

from __future__ import annotations

import argparse

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def parser(task: str, paper: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that training and testing share."""
    of = f" of {paper}" if paper else ""
    result = argparse.ArgumentParser(description=f"{task} a model{of}.", allow_abbrev=False)
    result.add_argument("config", help=f"path of a config, or the bare name of a config{of or ' of a paper'}")
    result.add_argument("--work-dir", help="folder of checkpoints and logs (default: ./work_dirs/<config's name>)")
    result.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change the config: model.d_model=64, key=[a,b], custom_hooks.0.priority=LOW",
    )
    result.add_argument("--data-root", help="folder of the data sets (default: $MMREPRO_DATA_ROOT, then ./data)")
    result.add_argument("--launcher", choices=LAUNCHERS, default="none", help="what has started the processes")
    result.add_argument("--local-rank", "--local_rank", type=int, default=0, help="set by the launcher")
    return result


def training_parser(paper: str | None) -> argparse.ArgumentParser:
    """Return the parser of ``train.py``."""
    result = parser("Train", paper)
    result.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from a checkpoint; without a value, or with `auto`, from the latest in the work directory",
    )
    result.add_argument("--amp", action="store_true", help="mixed precision with bfloat16, on the CPU too")
    result.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size")
    result.add_argument("--seed", type=int, help="seed of everything random (default: the config's)")
    return result


def testing_parser(paper: str | None) -> argparse.ArgumentParser:
    """Return the parser of ``test.py``."""
    result = parser("Test", paper)
    result.add_argument("checkpoint", help="file of the weights")
    result.add_argument("--out", metavar="FILE.json", help="write the metrics into a JSON file")
    result.add_argument(
        "--amp", action="store_true", help="mixed precision: autocast to float16 on CUDA, to bfloat16 on the CPU"
    )
    result.add_argument(
        "--tta", action="store_true", help="test-time augmentation with the config's tta_model and tta_pipeline"
    )
    result.add_argument("--show-dir", help="draw predictions into this folder (needs a visualization hook)")
    return result
