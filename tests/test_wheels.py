"""The built wheels hold what an installed user needs (nox -s build)."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheels
WHEELS = Path(os.environ.get("MMREPRO_WHEELS", "wheels"))


def test_there_is_a_wheel_of_the_core():
    names = zipfile.ZipFile(next(WHEELS.glob("mmrepro-*.whl"))).namelist()
    assert "mmrepro/papers.py" in names
    assert "mmrepro/datasets/catalog.yml" in names
    assert any(name.endswith(".j2") for name in names), "the report's template"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_paper_wheel_is_what_mim_expects(package):
    dist = f"mmrepro_{package.name}"
    wheel = zipfile.ZipFile(next(WHEELS.glob(f"{dist}-*.whl")))
    names = sorted(wheel.namelist())
    module = f"mm_{package.name}"
    assert names[0].startswith(f"{module}/")
    for needed in (
        ".mim/model-index.yml",
        f".mim/configs/{package.name}/metafile.yml",
        ".mim/tools/train.py",
        ".mim/tools/test.py",
    ):
        assert f"{module}/{needed}" in names
    top_level = next(name for name in names if name.endswith("dist-info/top_level.txt"))
    assert wheel.read(top_level).decode().split() == [module]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "/tests/" in name or name.endswith(".npz")]
