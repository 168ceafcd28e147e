"""What the cross-package tests share: the packages of this checkout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "shared"
PACKAGES = sorted(folder for folder in (ROOT / "packages").iterdir() if (folder / "pyproject.toml").is_file())


def inherits_from(config: Path) -> Path | None:
    """Return the config (not a file of ``_base_``) that a config inherits from, if there is one."""
    found = re.search(r'^_base_ = "(.+)"$', config.read_text(encoding="utf-8"), re.MULTILINE)
    return None if found is None or "_base_/" in found[1] else (config.parent / found[1]).resolve()


def pytest_generate_tests(metafunc) -> None:
    """Run a test once for each ``package`` or each ``config`` if it takes one.

    A ``root`` is a config that inherits from files of ``_base_`` alone, an ``heir`` one that inherits from a config.
    """
    found = [path for package in PACKAGES for path in sorted((package / "configs").rglob("*.py"))]
    configs = [path for path in found if "_base_" not in path.parts]
    choices = {
        "config": configs,
        "root": [path for path in configs if inherits_from(path) is None],
        "heir": [path for path in configs if inherits_from(path)],
        "package": PACKAGES,
    }
    for name in metafunc.fixturenames:
        if name in choices:
            metafunc.parametrize(name, choices[name], ids=lambda path: path.stem)


@pytest.fixture
def inherited(heir):
    """The config that ``heir`` inherits from."""
    return inherits_from(heir)
