"""Checkpoints that are whole or not there, and that hold all that a bit-equal resume needs."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from . import atomic_backend
from .loops import ResumableLoop

RESUME_KEY = "mmrepro_resume"
POINTER = "last_checkpoint"


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the checkpoint that ``last_checkpoint`` in a work directory names, or None.

    A work directory that was moved is understood: the file of that name beside ``last_checkpoint`` is taken then.
    """
    pointer = Path(work_dir) / POINTER
    if not pointer.is_file():
        return None
    named = Path(pointer.read_text(encoding="utf-8").strip())
    for candidate in (named, pointer.with_name(named.name)):
        if candidate.is_file():
            return candidate
    return None


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``; each file is written under a temporary name and moved into place.

    The superseded checkpoint is deleted when the new one and the pointer to it are whole. Runs after every other hook,
    so that their state is in the file; the one that is written again after a validation counts it as done.

    Args:
        max_keep_ckpts: how many checkpoints to keep beside the best.
        kwargs: everything else as in mmengine.
    """

    priority = "LOWEST"

    def __init__(self, max_keep_ckpts: int = 2, **kwargs: Any) -> None:
        super().__init__(max_keep_ckpts=max_keep_ckpts, backend_args=dict(backend=atomic_backend.NAME), **kwargs)
        self._resume_state: dict | None = None

    def before_train(self, runner: Any) -> None:
        """Find the folder; forget a best checkpoint that is gone, so that the next validation gives a new one."""
        super().before_train(runner)
        if self.save_best is None:
            return
        for indicator in self.key_indicators:
            suffix = "" if len(self.key_indicators) == 1 else f"_{indicator}"
            path = runner.message_hub.get_info(f"best_ckpt{suffix}")
            if path is not None and not Path(path).is_file():
                runner.logger.warning(f"the best checkpoint {path} is gone: the next validation starts a new record")
                runner.message_hub.pop_info(f"best_ckpt{suffix}")
                runner.message_hub.pop_info(f"best_score{suffix}")

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the loop's state into the file that is written; the best checkpoint goes without."""
        if self._resume_state is not None:
            checkpoint[RESUME_KEY] = self._resume_state

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Hand the state to the loop, which uses it when the runner resumes."""
        if isinstance(runner._train_loop, ResumableLoop):
            runner._train_loop.load_resume_state(checkpoint.get(RESUME_KEY))

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        superseded = self._remember(runner, step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        if isinstance(runner.train_loop, ResumableLoop):
            self._resume_state = runner.train_loop.resume_state()
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._resume_state = None
        if is_main_process():
            atomic_backend.write_atomically(self.last_ckpt.encode(), Path(runner.work_dir) / POINTER)
            for old in superseded:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _remember(self, runner: Any, step: int) -> list[int]:
        """Add a step to the checkpoints that are kept; return those that must go."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        steps = [*self.keep_ckpt_ids, step]
        self.keep_ckpt_ids = deque(steps[-self.max_keep_ckpts :], self.max_keep_ckpts)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return steps[: -self.max_keep_ckpts]
