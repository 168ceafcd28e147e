"""Finds errors of a folder in KITTI's format: `mim run mmrepro-monodino-detr check_kitti ROOT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Print what the folder holds and what is wrong with it; the status is 1 where it cannot be used."""
    args = _parser().parse_args(argv)
    with in_one_line():
        # not for --help: torch takes seconds
        from mm_monodino_detr.datasets.kitti_check import check_folder
        from mm_monodino_detr.evaluation.kitti_files import KITTI_CLASSES

        report = check_folder(args.root, args.splits, None if args.any_class else (*KITTI_CLASSES, *args.classes))
    for title, counts in (
        ("frames", report.frames),
        ("objects", dict(report.classes.most_common())),
        ("pictures", {f"{width} x {height}": count for (width, height), count in report.picture_sizes.most_common()}),
        ("focal lengths", dict(report.focal_lengths.most_common())),
    ):
        sys.stdout.write(f"{title}: {', '.join(f'{name} {count}' for name, count in counts.items()) or 'none'}\n")
    if report.fit is not None:
        sys.stdout.write(f"2D boxes and projected 3D boxes: median IoU {report.fit:.2f}\n")
    for kind, lines in (("warning", report.warnings), ("error", report.faults)):
        for line in lines[: args.show]:
            sys.stdout.write(f"{kind}: {line}\n")
        if len(lines) > args.show:
            sys.stdout.write(f"... and {_counted(len(lines) - args.show, kind)} more (--show N)\n")
    if report.faults:
        raise SystemExit(f"{_counted(len(report.faults), 'error')}: the folder cannot be used as it is")
    sys.stdout.write(f"no errors, {_counted(len(report.warnings), 'warning')}\n")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Look at every picture, calibration, label file and split of a folder in KITTI's layout.",
        allow_abbrev=False,
    )
    parser.add_argument("root", type=Path, help="the folder that holds training/ and ImageSets/")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help="files of ImageSets, such as train (default: all)")
    parser.add_argument(
        "--classes", nargs="+", default=[], metavar="NAME", help="names that labels may hold beside KITTI's own"
    )
    parser.add_argument("--any-class", action="store_true", help="accept any name in the labels")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="errors and warnings that are printed (20)")
    return parser


if __name__ == "__main__":
    main()
