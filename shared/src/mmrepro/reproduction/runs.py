"""Training and testing in child processes, through the package's own tools.

A child can crash, run out of memory or be killed; this process then still has the other rows. What the child prints
goes into a log file beside its checkpoints.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmrepro import papers

_ERROR_WORDS = ("Error", "Exception", "Interrupt", "Killed")


class RunFailedError(RuntimeError):
    """A child process failed; the message holds its last error line and the log's path."""


def train(
    paper: str,
    config: Path,
    work_dir: Path,
    *,
    seed: int,
    resume: bool = True,
    data_root: Path | None = None,
    threads: int | None = None,
    choose: Callable[[Path], Path] | None = None,
) -> Path:
    """Train a config in a child process and return a checkpoint of it, the best one by default.

    Args:
        paper: whose tools are run.
        config: the file.
        work_dir: for checkpoints and the log.
        seed: of the training.
        resume: go on with an interrupted run in ``work_dir``.
        data_root: folder of the data sets.
        threads: of a process; as the environment says by default.
        choose: finds another checkpoint in the work directory, for example :func:`last_checkpoint`.

    Raises:
        RunFailedError: the training failed or left no such checkpoint.
    """
    arguments = [str(config), "--work-dir", str(work_dir), "--seed", str(seed)]
    if resume and (work_dir / "last_checkpoint").is_file():
        arguments.append("--resume")
    log = work_dir / "train.log"
    _tool(paper, "train.py", arguments, log, data_root, threads)
    return (choose or best_checkpoint)(work_dir)


def best_checkpoint(work_dir: Path) -> Path:
    """Return the newest of a training's best checkpoints.

    Raises:
        RunFailedError: there is none.
    """
    found = sorted(work_dir.glob("best_*.pth"), key=lambda file: file.stat().st_mtime)
    if not found:
        log = work_dir / "train.log"
        raise RunFailedError(f"the training left no best_*.pth (does the config save the best?), log at {log}")
    return found[-1]


def last_checkpoint(work_dir: Path) -> Path:
    """Return the checkpoint that a training wrote last.

    Raises:
        RunFailedError: the training says of none, or the file is gone.
    """
    note = work_dir / "last_checkpoint"
    if not note.is_file():
        raise RunFailedError(f"the training left no {note}, which names its last checkpoint")
    # a folder may have been moved since
    found = work_dir / Path(note.read_text(encoding="utf-8").strip()).name
    if not found.is_file():
        raise RunFailedError(f"{note} names {found.name}, which is not there")
    return found


def evaluate(
    paper: str,
    config: Path,
    checkpoint: Path,
    work_dir: Path,
    *,
    data_root: Path | None = None,
    threads: int | None = None,
) -> dict[str, float]:
    """Test a checkpoint in a child process and return the evaluator's metrics.

    Raises:
        RunFailedError: the test failed or wrote no metrics.
    """
    out, log = work_dir / "metrics.json", work_dir / "test.log"
    out.unlink(missing_ok=True)
    arguments = [str(config), str(checkpoint), "--work-dir", str(work_dir / "test"), "--out", str(out)]
    _tool(paper, "test.py", arguments, log, data_root, threads)
    if not out.is_file():
        raise RunFailedError(f"the test wrote no metrics to {out}, log at {log}")
    metrics = json.loads(out.read_text(encoding="utf-8"))
    return {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}


def last_error(log: Path) -> str:
    """Return the last line of a log that names an error, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if any(word in line.partition(":")[0] for word in _ERROR_WORDS)]
    return (errors or lines or ["no output"])[-1][:300]


def _tool(
    paper: str, tool: str, arguments: Sequence[str], log: Path, data_root: Path | None, threads: int | None
) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(papers.root(paper) / "tools" / tool), *arguments]
    if data_root is not None:
        command += ["--data-root", str(data_root)]
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with log.open("w", encoding="utf-8") as output:
        ran = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
    if ran.returncode:
        reason = f"killed by signal {-ran.returncode}" if ran.returncode < 0 else last_error(log)
        raise RunFailedError(f"{reason}, log at {log}")
