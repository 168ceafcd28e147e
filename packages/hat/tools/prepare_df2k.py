"""Cut DIV2K and Flickr2K into the squares of the DF2K configs: `mim run mmrepro-hat prepare_df2k DATA_ROOT`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare DF2K as the command line says."""
    parser = argparse.ArgumentParser(
        description="Cut DIV2K and Flickr2K into squares of 480 pixels for the DF2K configs, with their list. "
        "Interrupted, it goes on where it stopped."
    )
    parser.add_argument("data_root", type=Path, help="holds DIV2K/DIV2K_train_HR, Flickr2K/Flickr2K_HR and their LR")
    parser.add_argument("--out", type=Path, help="where the squares go (default: DF2K in data_root)")
    parser.add_argument("--scales", type=int, nargs="*", default=[2, 3, 4], choices=[2, 3, 4])
    parser.add_argument("--lmdb", action="store_true", help="pack each folder into an LMDB folder, too")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    args = parser.parse_args(argv)

    from rich.progress import Progress

    from mm_hat.datasets.df2k import official_parts, prepare_df2k
    from mmrepro.engine.errors import UserError, in_one_line

    tasks = {}
    with in_one_line(), Progress() as bars:

        def show(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done)

        try:
            out = args.out or args.data_root / "DF2K"
            parts = official_parts(args.data_root)
            made = prepare_df2k(parts, out, args.scales, args.lmdb, workers=args.workers, progress=show)
        except (ValueError, ImportError) as fault:
            raise UserError(str(fault)) from fault
        for folder, count in made.items():
            bars.console.print(f"{out / folder}: {count:,} squares", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
