"""Make the low-resolution pictures of a test set from its good ones: `mim run mmrepro-hat make_benchmark_lr FOLDER`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Shrink a folder of pictures as the command line says."""
    parser = argparse.ArgumentParser(
        description="Shrink pictures as MATLAB's imresize does with 8 bits, each cut to a multiple of the scale first. "
        "The stored low-resolution pictures of Set5, Set14, BSD100 and, at x4, Urban100 come out bit by bit."
    )
    parser.add_argument("folder", type=Path, help="the good pictures, as sr/Manga109/HR")
    parser.add_argument("--out", type=Path, help="below which X2, X3, X4 go (default: LR_bicubic beside the folder)")
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4], choices=[2, 3, 4, 8])
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args(argv)

    from rich.progress import Progress

    from mm_hat.datasets.sub_images import shrink_folder
    from mmrepro.engine.errors import UserError, in_one_line

    with in_one_line(), Progress() as bars:
        for scale in args.scales:
            target = (args.out or args.folder.resolve().parent / "LR_bicubic") / f"X{scale}"
            task = bars.add_task(str(target))

            def show(done: int, total: int, task: int = task) -> None:
                bars.update(task, completed=done, total=total)

            try:
                count = shrink_folder(args.folder, target, scale, args.workers, show)
            except ValueError as fault:
                raise UserError(str(fault)) from fault
            bars.console.print(f"{target}: {count:,} pictures", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
