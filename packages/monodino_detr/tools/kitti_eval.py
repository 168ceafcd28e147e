"""KITTI's average precisions of result files: `mim run mmrepro-monodino-detr kitti_eval LABELS RESULTS SPLIT`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and write numbers and curves where asked to."""
    parser = _parser()
    args = parser.parse_args(argv)
    for option, path in (("--json", args.json), ("--curves", args.curves)):
        if path is not None and path.is_dir():
            parser.error(f"{option} {path} is a folder. Fix: a file in it")
    if args.curves is not None and args.curves.suffix.lower() != ".png":
        parser.error(f"--curves {args.curves}: the drawing is a PNG. Fix: a name that ends in .png")
    with in_one_line():
        # not for --help: registering the metric imports torch
        from mm_monodino_detr.evaluation.ap_table import averages, official_text, short_text
        from mm_monodino_detr.evaluation.kitti_ap import DIFFICULTIES, DISTANCES
        from mm_monodino_detr.evaluation.kitti_files import KITTI_CLASSES
        from mm_monodino_detr.evaluation.kitti_folders import read_folders, read_rules
        from mm_monodino_detr.evaluation.pr_curves import draw_curves
        from mmrepro.engine.atomic_backend import write_atomically

        known = (*KITTI_CLASSES, *args.classes)
        rules = None if args.rules is None else read_rules(args.rules)
        found = read_folders(args.labels, args.results, args.split, None if args.any_class else known, rules)
        tables = {"difficulty": DIFFICULTIES} | ({"distance": DISTANCES} if args.distances else {})
        every = {
            table: [found.evaluation.curves(name, levels) for name in args.classes] for table, levels in tables.items()
        }
        for curves in every.values():
            sys.stdout.write("\n".join(official_text(one) for one in curves) + f"\n{short_text(curves)}\n\n")
        sys.stdout.write(
            f"frames: {found.frames}; "
            f"without a result file, taken as empty: {len(found.missing)}{_some(found.missing)}; "
            f"result files of other frames, left out: {len(found.others)}{_some(found.others)}\n"
        )
        if args.json:
            numbers = {
                name: value for curves in every.values() for one in curves for name, value in averages(one).items()
            }
            content = dict(frames=found.frames, missing=found.missing, others=found.others, ap=numbers)
            write_atomically((json.dumps(content, indent=1) + "\n").encode(), args.json)
        if args.curves:
            draw_curves(every["difficulty"], args.curves)


def _some(frames: Sequence[str]) -> str:
    if not frames:
        return ""
    return f" ({', '.join(frames[:3])}{', ...' if len(frames) > 3 else ''})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="KITTI's average precisions in 3D, bird's-eye view and 2D and of orientations, without a GPU.",
        allow_abbrev=False,
    )
    parser.add_argument("labels", type=Path, help="folder of the label files, <frame>.txt (training/label_2)")
    parser.add_argument("results", type=Path, help="folder of the result files, <frame>.txt")
    parser.add_argument("split", type=Path, help="file with the frames' names (ImageSets/val.txt)")
    parser.add_argument(
        "--classes", nargs="+", default=["Car", "Pedestrian", "Cyclist"], metavar="NAME", help="classes with a table"
    )
    parser.add_argument("--any-class", action="store_true", help="accept names that are no KITTI class in the files")
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE.json",
        help="overlaps of classes, as rules=dict(...) of KittiMetric3D has them",
    )
    parser.add_argument("--distances", action="store_true", help="tables of 0 to 30, 30 to 50 and 50 to 70 m too")
    parser.add_argument("--curves", type=Path, metavar="FILE.png", help="draw precision over recall")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    return parser


if __name__ == "__main__":
    main()
