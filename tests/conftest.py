"""What the cross-package tests share: the packages of this checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "shared"
PACKAGES = sorted(folder for folder in (ROOT / "packages").iterdir() if (folder / "pyproject.toml").is_file())


def pytest_generate_tests(metafunc) -> None:
    """Run every test that takes ``package`` once for each package, and ``config`` once for each config."""
    if "config" in metafunc.fixturenames:
        configs = [path for package in PACKAGES for path in sorted((package / "configs" / package.name).rglob("*.py"))]
        metafunc.parametrize("config", configs, ids=lambda path: path.stem)
    elif "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES, ids=lambda path: path.name)
