"""PSNR and SSIM of restored pictures: `mim run mmrepro-hat evaluate_folder RESTORED TRUTH --scale S`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmrepro.engine.errors import in_one_line


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a folder and print two tables; the status is 1 where a picture failed."""
    args = _parser().parse_args(argv)
    with in_one_line():
        from mm_hat.evaluation.folders import measure_folders  # not for --help: torch takes seconds
        from mm_hat.evaluation.metric import table

        results, failed = measure_folders(args.restored, args.truth, args.scale, args.low, args.border)
    for channels, values in results.items():
        if values:
            sys.stdout.write(f"{channels}, PSNR/SSIM\n{table(values, args.per_image)}\n\n")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        report = {channels: _report(values) for channels, values in results.items()} | {"failed": failed}
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if failed:
        lines = "".join(f"\n  {name}: {message}" for name, message in failed.items())
        raise SystemExit(f"{len(failed)} pictures were not measured:{lines}")


def _report(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means and each picture's values; infinite ones, of equal pictures, as null."""
    measured = [key for key, value in values[0].items() if isinstance(value, float)] if values else []
    means = {key: fmean(one[key] for one in values) for key in measured}
    return {"mean": _plain(means), "pictures": [_plain(one) for one in values]}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure restored pictures as the papers do, on the luma and on the colours, beside bicubic ones.",
        allow_abbrev=False,
    )
    parser.add_argument("restored", type=Path, help="folder of the restored pictures, or one picture")
    parser.add_argument("truth", type=Path, help="folder of the truths, of the same names")
    parser.add_argument(
        "--low", type=Path, metavar="DIR", help="what they were made from (default: the truths, shrunk)"
    )
    parser.add_argument("--scale", type=int, required=True, help="how many times larger the restored pictures are")
    parser.add_argument("--border", type=int, metavar="N", help="pixels left out on each side (default: the scale)")
    parser.add_argument("--per-image", action="store_true", help="a line for each picture too")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all values into a JSON file")
    return parser


if __name__ == "__main__":
    main()
