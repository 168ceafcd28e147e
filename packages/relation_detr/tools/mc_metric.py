"""How alike the boxes of an image are: `mim run mmrepro-relation-detr mc_metric FILE... --out PICTURE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import UserError, in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line per file, and write the histograms where asked to."""
    args = _parser().parse_args(argv)
    with in_one_line():
        from mm_relation_detr.evaluation import macroscopic_correlation as mc
        from mmrepro.datasets.coco_file import AnnotationError  # not for --help: torch takes seconds

        try:
            found = {str(path): mc.correlations(mc.boxes_of_json(path, args.min_score).values()) for path in args.files}
        except AnnotationError as fault:
            raise UserError(str(fault)) from fault
        numbers = {}
        for name, values in found.items():
            one = mc.distribution(values, args.bins)
            numbers[name] = dict(
                images=one.images,
                undefined=one.undefined,
                mean=one.mean,
                median=one.median,
                edges=one.edges.tolist(),
                density=one.density.tolist(),
            )
            sys.stdout.write(
                f"{name}: mean {one.mean:.4f}, median {one.median:.4f} over {one.images} images with two boxes or more"
                f"{f'; not defined for {one.undefined}' if one.undefined else ''}\n"
            )
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            mc.draw(found, args.out, args.bins)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How alike the boxes of an image are.", allow_abbrev=False)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="COCO annotations, or results (a list)")
    parser.add_argument("--min-score", type=float, default=0.3, metavar="P", help="leave out results below (0.3)")
    parser.add_argument("--bins", type=int, default=50, metavar="N", help="bars of the histogram (50)")
    parser.add_argument("--out", type=Path, metavar="PICTURE", help="draw the histograms, .png or .pdf")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    return parser


if __name__ == "__main__":
    main()
