"""Running the toy in this process: no child, a second each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmrepro import safe_loading
from mmrepro.engine.checkpoint_hook import latest_checkpoint

_names = itertools.count()


class Interrupted(Exception):
    pass


class InterruptHook(Hook):
    """Stops as a kill would, before an iteration or in the middle of a validation, without losing the process."""

    priority = "HIGHEST"

    def __init__(self, iteration: int, in_validation: bool) -> None:
        self.iteration, self.in_validation = iteration, in_validation

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.in_validation and runner.iter == self.iteration:
            raise Interrupted

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.in_validation and runner.iter == self.iteration:
            raise Interrupted


@pytest.fixture(scope="session", autouse=True)
def _safe_loading():
    safe_loading.install()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Work directories and mmengine's ``.dist_test`` are made in the current folder: keep them out of the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def build() -> Callable[..., Runner]:
    """Build a runner in a work directory; ``resume`` goes on from its latest checkpoint."""

    def build(config: Config, work_dir: Path, resume: bool = False) -> Runner:
        config.work_dir = str(work_dir)
        config.experiment_name = f"test_{next(_names)}"  # runners of the same second would share their message hub
        if resume:
            latest = latest_checkpoint(work_dir)
            config.resume, config.load_from = latest is not None, None if latest is None else str(latest)
        return Runner.from_cfg(config)

    return build


@pytest.fixture
def train(build) -> Callable[..., Runner]:
    """Train in a work directory; ``interrupt`` is an iteration, or an iteration and True for its validation."""

    def train(config: Config, work_dir: Path, resume: bool = False, interrupt: tuple | None = None) -> Runner:
        runner = build(config, work_dir, resume)
        if interrupt is None:
            runner.train()
        else:
            runner.register_hook(InterruptHook(*interrupt))
            with pytest.raises(Interrupted):
                runner.train()
        return runner

    return train
