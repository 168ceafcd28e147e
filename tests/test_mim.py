"""mim's commands on the installed packages (nox -s mim, for wheels and for editable installs)."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config

from mmrepro import papers
from mmrepro.testing import tiny

pytestmark = pytest.mark.mim


@pytest.fixture(scope="module", params=papers.names())
def paper(request):
    return request.param


@pytest.fixture(scope="module")
def quickstart(paper) -> Path:
    """The paper's quickstart config: it needs no data set."""
    return papers.find_config(paper, import_module(f"{papers.module(paper)}.quickstart").CONFIG)


@pytest.fixture(scope="module")
def small(quickstart, tmp_path_factory) -> Path:
    """The tiny version of that config, as a user's own file."""
    path = tmp_path_factory.mktemp("configs") / "my_tiny.py"
    tiny(Config.fromfile(quickstart)).dump(path)
    return path


def dist(paper: str) -> str:
    return f"mmrepro-{paper.replace('_', '-')}"


def mim(*words: str | Path, cwd: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "mim", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def trained(paper, small, tmp_path_factory) -> Path:
    """`mim train` by path; the work directory."""
    folder = tmp_path_factory.mktemp("train")
    mim("train", dist(paper), small, "--work-dir", folder / "run", cwd=folder)
    return folder / "run"


def test_train_by_path(trained):
    assert list(trained.glob("best_*.pth"))


def test_train_by_bare_name(paper, quickstart, tmp_path):
    hints = [
        f"{key}={value}" for key, value in Config.fromfile(quickstart).tiny.items() if key.startswith("train_cfg.")
    ]
    mim("train", dist(paper), quickstart.name, "--work-dir", tmp_path / "run", "--cfg-options", *hints, cwd=tmp_path)
    assert list((tmp_path / "run").glob("best_*.pth"))


def test_test(paper, small, trained, tmp_path):
    out = tmp_path / "metrics.json"
    best = next(trained.glob("best_*.pth"))
    mim("test", dist(paper), small, "--checkpoint", best, "--work-dir", tmp_path / "test", "--out", out, cwd=tmp_path)
    assert out.is_file()


def test_search(paper, tmp_path):
    shown = mim("search", dist(paper), cwd=tmp_path)
    names = {model["Name"] for metafile in papers.metafiles(paper) for model in metafile["Models"]}
    assert [name for name in names if name.lower() not in shown.lower()] == []


def test_run(paper, small, tmp_path):
    mim("run", dist(paper), "train", small, "--work-dir", tmp_path / "run", cwd=tmp_path)
    assert list((tmp_path / "run").glob("best_*.pth"))


def test_gridsearch(paper, small, tmp_path):
    search = "--optim_wrapper.optimizer.lr 1e-3 1e-4"
    mim("gridsearch", dist(paper), small, "--work-dir", tmp_path / "run", "--search-args", search, cwd=tmp_path)
    assert len([folder for folder in tmp_path.iterdir() if list(folder.glob("best_*.pth"))]) == 2
