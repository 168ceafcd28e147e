"""A page with samples of every modality, their tokens, attention and predictions: `mim run ... gallery`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmrepro.engine.errors import in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and print where it is."""
    args = _parser().parse_args(argv)
    with in_one_line():
        # not for --help: mmpretrain takes seconds to import
        from mm_meta_transformer.gallery import MODALITIES, write_gallery

        page = write_gallery(args.work_dir, args.out, args.modalities or MODALITIES, _say)
    sys.stdout.write(f"{page}\n")


def _say(one: object) -> None:
    sys.stdout.write(f"{one.modality}: {one.fault or f'weights {one.weights}'}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Draw test samples of the modalities' small configs, with their trainings' weights or random ones.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs"),
        help="that of `mmrepro reproduce meta_transformer --profile smoke`, whose checkpoints are taken",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (WORK_DIR/meta_transformer/gallery.html)")
    parser.add_argument("--modalities", nargs="+", metavar="NAME", help="text, image, ...; all twelve by default")
    return parser


if __name__ == "__main__":
    main()
