"""Resuming, for every paper: a run that is killed and goes on must end exactly like one that was left alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmrepro import safe_loading
from mmrepro.engine.checkpoint_hook import RESUME_KEY, latest_checkpoint

from .children import finish, load_config, train, write_config


@HOOKS.register_module()
class KillHook(Hook):
    """Kills its own process with SIGKILL.

    Args:
        iteration: how many iterations are done when it happens.
        in_validation: after the first batch of the validation at that iteration, instead of before the next iteration.
    """

    priority = "HIGHEST"

    def __init__(self, iteration: int, in_validation: bool = False) -> None:
        self.iteration, self.in_validation = iteration, in_validation

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Kill the process if it is time."""
        if not self.in_validation and runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Kill the process if it is time."""
        if self.in_validation and runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)


def assert_resume_bit_equal(
    config: Config | str | Path,
    work_dir: Path,
    *,
    kill_at: Sequence[int] = (),
    kill_in_validation_at: Sequence[int] = (),
    num_workers: Sequence[int] = (0, 2),
    persistent_workers: bool = True,
    processes: int = 1,
    checkpoint_every: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Assert that a training killed at given iterations, and resumed each time, ends like the uninterrupted one.

    Equal, bit by bit, must be: the weights, the optimizer's and the schedulers' state, the random states of all
    processes, whatever else hooks keep in the checkpoint (averaged weights, say), the best checkpoint's name, score and
    weights, the state of early stopping, and the logged losses and metrics. The uninterrupted run uses the first of
    ``num_workers``; there is one killed run for each of them.

    Args:
        config: a config (a small one), its path, or the bare name of a paper's config; it uses the engine's loops and
            ``AtomicCheckpointHook``.
        work_dir: an empty folder.
        kill_at: numbers of iterations after which the process is killed, one after the other.
        kill_in_validation_at: the same, in the middle of the validation that follows the iteration.
        num_workers: workers of the training data.
        persistent_workers: keep them from epoch to epoch.
        processes: 1, or as many gloo processes.
        checkpoint_every: write a checkpoint every so many iterations; by default what the config says.
        changes: dotted keys of the config and their values.

    Returns:
        the uninterrupted run's work directory.

    Raises:
        AssertionError: something differs (it is named), or a run was over before it could be killed.
    """
    config = load_config(config)
    changes = dict(changes or {})
    if checkpoint_every is not None:
        changes |= {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": checkpoint_every}
    kills = [(at, False) for at in kill_at] + [(at, True) for at in kill_in_validation_at]
    kills.sort(key=lambda kill: (kill[0], not kill[1]))  # a validation comes before the next iteration

    def workload(workers: int) -> dict[str, Any]:
        persistent = persistent_workers and workers > 0
        data = {"train_dataloader.num_workers": workers, "train_dataloader.persistent_workers": persistent}
        return {**changes, **data}

    def leave_alone() -> Path:
        path = write_config(config, work_dir / "left_alone.py", workload(num_workers[0]))
        finish(train(path, work_dir / "left_alone", processes=processes))
        return work_dir / "left_alone"

    def kill_and_resume(workers: int) -> Path:
        killed = work_dir / f"killed_with_{workers}_workers"
        for number, (iteration, in_validation) in enumerate(kills):
            hook = dict(type="KillHook", iteration=iteration, in_validation=in_validation)
            name = f"kill_{workers}_{number}.py"
            path = write_config(config, work_dir / name, workload(workers), [hook], __name__)
            child = train(path, killed, "--resume", processes=processes)
            output, _ = child.communicate()
            assert child.returncode != 0, f"the run was over before it could be killed at iteration {iteration}"
            assert "SIGKILL" in output or child.returncode == -signal.SIGKILL, output[-4000:]
        path = write_config(config, work_dir / f"rest_{workers}.py", workload(workers))
        finish(train(path, killed, "--resume", processes=processes))
        return killed

    with ThreadPoolExecutor(1 + len(num_workers)) as pool:  # the threads only wait for their children
        reference = pool.submit(leave_alone)
        killed = {workers: pool.submit(kill_and_resume, workers) for workers in num_workers}
    for workers, run in killed.items():
        differing = differences(final_state(reference.result()), final_state(run.result()))
        assert not differing, f"{workers} workers, killed at {kills}: resuming changed {', '.join(differing)}"
    return reference.result()


def final_state(work_dir: Path) -> dict[str, Any]:
    """Return all of a finished run that must not depend on whether it was interrupted."""
    latest = latest_checkpoint(work_dir)
    assert latest is not None, f"no checkpoint in {work_dir}"
    checkpoint = safe_loading.load(latest)
    hub = checkpoint["message_hub"]
    kept = ("best_score", "best_ckpt", "early_stopping", "iter", "epoch")
    info = {key: value for key, value in hub["runtime_info"].items() if key.startswith(kept)}
    scalars = {key: value for key, value in hub["log_scalars"].items() if not key.endswith("time")}
    best = {path.name: safe_loading.load(path)["state_dict"] for path in sorted(work_dir.glob("best_*.pth"))}
    return {
        **{key: value for key, value in checkpoint.items() if key not in ("meta", "message_hub", RESUME_KEY)},
        "files": sorted(path.name for path in work_dir.glob("*.pth")),
        "resume": checkpoint[RESUME_KEY],
        "info": {key: Path(value).name if key.startswith("best_ckpt") else value for key, value in info.items()},
        "logged": {key: [list(part) for part in scalars[key].data] for key in scalars},
        "best": best,
    }


def differences(first: Any, second: Any, name: str = "") -> list[str]:
    """Return the dotted names of what differs between two nested structures; tensors are compared bit by bit."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and first.shape == second.shape and _raw(first) == _raw(second)
        return [] if same else [name]
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return [f"{name} (keys {sorted(map(str, first.keys() ^ second.keys()))})"]
        return [each for key in first for each in differences(first[key], second[key], f"{name}.{key}".lstrip("."))]
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        if len(first) != len(second):
            return [f"{name} (lengths {len(first)} and {len(second)})"]
        pairs = enumerate(zip(first, second, strict=True))
        return [each for index, pair in pairs for each in differences(*pair, f"{name}.{index}")]
    return [] if first == second else [f"{name} ({first!r} and {second!r})"]


def _raw(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
