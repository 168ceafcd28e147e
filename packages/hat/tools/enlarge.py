"""Enlarge, or at scale 1 clean, pictures: `mim run mmrepro-hat enlarge CONFIG CHECKPOINT INPUT... --out DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import UserError, in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Restore pictures into a folder; the status is 1 where one of them failed."""
    args = _parser().parse_args(argv)
    with in_one_line():
        from mm_hat import HATInferencer  # not for --help: torch takes seconds

        try:
            inferencer = HATInferencer(
                args.config,
                None if args.checkpoint == "none" else args.checkpoint,
                device=args.device,
                tile=int(args.tile) if args.tile and args.tile.isdecimal() else args.tile,
                tile_pad=args.tile_pad,
                feather=args.feather,
                bf16=args.bf16,
                show_progress=True,
            )
        except ValueError as fault:
            raise UserError(str(fault)) from fault
        result = inferencer(args.inputs, out_dir=args.out, crops=args.crops)
    failed, count = len(result["failed"]), len(result["visualization"])
    sys.stdout.write(f"{count - failed} of {count} pictures are in {args.out}\n")
    if failed:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Enlarge pictures with a trained HAT.", allow_abbrev=False)
    parser.add_argument("config", help="a config: the name of one of this package's, or a path")
    parser.add_argument("checkpoint", help="its weights: ours or official ones; `none` for a bicubic config")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="pictures, and folders of pictures")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--tile", help="a tile's side in pixels of the input, `auto`, or `exact` (default: the config's)"
    )
    parser.add_argument("--tile-pad", type=int, metavar="N", help="how far a tile looks over its edge")
    parser.add_argument("--feather", type=int, metavar="N", help="width of the blend between tiles; 0 cuts hard")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: faster on GPUs")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: what is there)")
    parser.add_argument("--crops", action="store_true", help="draw comparisons with bicubic interpolation too")
    return parser


if __name__ == "__main__":
    main()
