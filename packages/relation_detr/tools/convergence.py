"""Loss and AP over a training, from its logs: `mim run mmrepro-relation-detr convergence RUN... --out PNG`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import UserError, in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Draw one line for each run, resumed ones in one piece."""
    args = _parser().parse_args(argv)
    with in_one_line():
        from mmrepro.engine.atomic_backend import write_atomically  # not for --help: torch takes seconds
        from mmrepro.reproduction.plots import loss_curves

        logs = [(run.resolve().name, sorted(run.glob("*/vis_data/scalars.json"))) for run in args.runs]
        for run, (_, files) in zip(args.runs, logs, strict=True):
            if not files:
                raise UserError(f"{run} has no logs (*/vis_data/scalars.json). Fix: give the work_dir of a training")
        picture = loss_curves(logs, args.measure)
        if picture is None:
            raise UserError(f"the logs of {', '.join(map(str, args.runs))} hold no loss yet. Fix: train some steps")
        write_atomically(picture, args.out)
        sys.stdout.write(f"{args.out}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Loss and measure over a training.", allow_abbrev=False)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="work_dir of a training")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the file to write")
    parser.add_argument(
        "--measure", default="coco/bbox_mAP", metavar="KEY", help="of the validation (coco/bbox_mAP; pascal_voc/mAP)"
    )
    return parser


if __name__ == "__main__":
    main()
