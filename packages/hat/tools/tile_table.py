"""Tabulate what tiles change in a network's results: `mim run mmrepro-hat tile_table CONFIG CHECKPOINT PICTURES...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import chain

from mmrepro.engine.errors import UserError, in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a Markdown table."""
    args = _parser().parse_args(argv)
    with in_one_line():
        from rich.console import Console
        from rich.progress import Progress

        from mm_hat import HATInferencer  # not for --help: torch takes seconds
        from mm_hat.evaluation.tile_table import cells, samples_of, tile_effects
        from mmrepro.reproduction.tables import markdown

        try:
            restorer = HATInferencer(args.config, args.checkpoint, args.device).model
            sources = [samples_of(source, restorer.scale) for source in args.pictures]
            with Progress(console=Console(stderr=True)) as progress:
                samples = progress.track(chain.from_iterable(sources), sum(map(len, sources)), description="pictures")
                effects = tile_effects(restorer, samples, args.tiles, args.overlaps)
        except ValueError as fault:
            raise UserError(str(fault)) from fault
        sys.stdout.write(markdown(*cells(effects)) + "\n")


def _parser() -> argparse.ArgumentParser:
    about = (
        "Restore pictures whole and in tiles, and tabulate the PSNR on the luma: its change against the truth (tiled "
        "minus whole) and that of the tiled against the whole pictures, with hard and with feathered seams."
    )
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("config", help="a config: the name of one of this package's, or a path")
    parser.add_argument("checkpoint", help="its weights: ours or official ones")
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURES",
        help="high-resolution pictures, folders of them, or test sets by name, such as Set14",
    )
    parser.add_argument(
        "--tiles",
        nargs="+",
        type=int,
        metavar="N",
        default=[64, 128, 256],
        help="sides in pixels of the input (default: 64 128 256)",
    )
    parser.add_argument(
        "--overlaps",
        nargs="+",
        type=int,
        metavar="N",
        default=[0, 16, 32],
        help="how far tiles look over their edges (default: 0 16 32)",
    )
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: what is there)")
    return parser


if __name__ == "__main__":
    main()
