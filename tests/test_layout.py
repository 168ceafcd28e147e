"""Every package has the shape that the design promises, so that mim, pip and people find everything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def module_of(package: Path) -> str:
    return f"mm_{package.name}"


def test_the_package_is_complete(package):
    module = f"src/{module_of(package)}"
    needed = [
        *("README.md", "LICENSE", "pyproject.toml", "model-index.yml", "top_level.txt"),
        *("tools/train.py", "tools/test.py", f"configs/{package.name}/metafile.yml", "tests/parity.py", "tests/parity"),
        *(f"{module}/__init__.py", f"{module}/checkpoint.py", f"{module}/quickstart.py"),
    ]
    assert [name for name in needed if not (package / name).exists()] == []


def test_names_follow_the_paper(package):
    settings = project(package)["project"]
    assert settings["name"] == f"mmrepro-{package.name.replace('_', '-')}"
    assert settings["entry-points"]["mmrepro.papers"] == {package.name: module_of(package)}
    assert "scripts" not in settings, "a console script would come first in the record that mim reads"
    assert module_of(package) < settings["name"].replace("-", "_"), "mim takes the first entry of the record"


def test_one_version_for_all(package):
    core = project(ROOT / "shared")["project"]["version"]
    settings = project(package)["project"]
    major, minor = core.split(".")[:2]
    assert settings["version"] == core
    assert f"mmrepro>={major}.{minor},<{major}.{int(minor) + 1}" in settings["dependencies"]
    source = (ROOT / "shared/src/mmrepro/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{core}"' in source


def test_mim_finds_everything_in_the_wheel(package):
    settings = project(package)
    dist = settings["project"]["name"].replace("-", "_")
    include = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    data_sets = [name for name in ["data-sets.yml"] if (package / name).exists()]
    assert include == {
        **{name: f"{module_of(package)}/.mim/{name}" for name in data_sets},
        "configs": f"{module_of(package)}/.mim/configs",
        "tools": f"{module_of(package)}/.mim/tools",
        "model-index.yml": f"{module_of(package)}/.mim/model-index.yml",
        "top_level.txt": f"{dist}-{settings['project']['version']}.dist-info/top_level.txt",
    }
    assert (package / "top_level.txt").read_text().strip() == module_of(package)


def test_a_config_name_stands_once(package):
    stems = [path.name for path in package.rglob("*.py") if "configs" in path.parts and "_base_" not in path.parts]
    others = [path.name for path in package.rglob("*.py") if "configs" not in path.parts]
    assert len(stems) == len(set(stems))
    assert not set(stems) & set(others)


@pytest.mark.parametrize("tool", ["train", "test"])
def test_tools_answer_help_without_torch(package, tool):
    """A tool's help comes from argparse alone; mim reads it for the word that makes it pass device options."""
    path = package / "tools" / f"{tool}.py"
    code = f"""
import runpy, sys
sys.argv = ["{tool}.py", "-h"]
try:
    runpy.run_path({str(path)!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
assert "torch" not in sys.modules and "mmengine" not in sys.modules
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "--launcher" in shown.stdout
    assert "--gpus" not in shown.stdout
    assert len(path.read_text(encoding="utf-8").strip().splitlines()) <= 5


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in names}


def test_the_core_imports_no_paper():
    found = {path: imports(path) for path in (ROOT / "shared/src").rglob("*.py")}
    assert [str(path) for path, names in found.items() if any(name.startswith("mm_") for name in names)] == []


def test_papers_do_not_import_each_other(package):
    found = {path: imports(path) for path in (package / "src").rglob("*.py")}
    foreign = {
        path: {n for n in names if n.startswith("mm_") and n != module_of(package)} for path, names in found.items()
    }
    assert {str(path): names for path, names in foreign.items() if names} == {}


def test_every_row_has_a_config_and_every_config_is_a_row_or_says_why(package):
    index = yaml.safe_load((package / "model-index.yml").read_text(encoding="utf-8"))
    models = [
        model
        for file in index["Import"]
        for model in yaml.safe_load((package / file).read_text(encoding="utf-8"))["Models"]
    ]
    for model in models:
        assert (package / model["Config"]).is_file()
        assert model["Name"] == Path(model["Config"]).stem
        for result in model["Results"]:
            assert {"Task", "Dataset", "Metrics", "Source", "Data"} <= set(result)
            if result["Metrics"]:
                assert {"Tolerance", "Measured By", "Better"} <= set(result)
                assert set(result["Tolerance"]) == set(result["Measured By"]) == set(result["Metrics"])
    listed = {model["Name"] for model in models}
    configs = package / "configs"
    unlisted = {
        path
        for path in configs.rglob("*.py")
        if "_base_" not in path.relative_to(configs).parts and path.stem not in listed
    }
    assert [
        path.name for path in unlisted if "not a row of the paper" not in path.read_text(encoding="utf-8").lower()
    ] == []
