"""Where a number was measured: versions, hardware, threads, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Results change with these; the paper's own distribution is added to them.
DISTRIBUTIONS = (
    "mmrepro",
    "torch",
    "torchvision",
    "numpy",
    "onedl-mmengine",
    "mmengine",
    "onedl-mmcv",
    "mmcv",
    "onedl-mmdetection",
    "mmdet",
    "onedl-mmsegmentation",
    "mmsegmentation",
    "onedl-mmpretrain",
    "mmpretrain",
)
# The tool writes these itself while it measures: they do not make a tree unclean.
WRITTEN_BY_TOOL = ("reproductions.json", "benchmarks.json")


def versions(paper: str) -> dict[str, str]:
    """Return the versions of Python and of the installed distributions that matter for a paper's numbers."""
    names = (*DISTRIBUTIONS, f"mmrepro-{paper.replace('_', '-')}")
    installed = {name: _version(name) for name in names}
    return {"python": platform.python_version()} | {name: found for name, found in installed.items() if found}


@cache
def hardware() -> str:
    """Return processor, number of cores and, where torch sees one, the accelerator."""
    import torch

    parts = [f"{_processor()}, {os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return "; ".join(parts)


def threads() -> int:
    """Return how many threads an operator may use: ``OMP_NUM_THREADS``, or every core."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def commit(folder: Path) -> tuple[str, bool]:
    """Return the checked-out commit and whether the tree is clean, apart from the files that our tools write.

    Outside a git checkout the commit is empty, and nothing is known to be clean.
    """
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return "", False
    changed = [line[3:].strip('"') for line in _git(folder, "status", "--porcelain").splitlines()]
    return head, all(_is_written_by_tool(Path(path).name) for path in changed)


def _is_written_by_tool(name: str) -> bool:
    """Whether a file is one of ours, or the hidden lock or temporary file of one: ``.reproductions.json.lock``."""
    return name in WRITTEN_BY_TOOL or name.startswith(tuple(f".{ours}." for ours in WRITTEN_BY_TOOL))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _git(folder: Path, *arguments: str) -> str:
    try:
        ran = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return ""
    return ran.stdout.rstrip("\n") if ran.returncode == 0 else ""


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
