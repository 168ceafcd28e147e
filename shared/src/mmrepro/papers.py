"""Finding the installed papers, their configs and metafiles.

A paper announces itself by the entry-point group ``mmrepro.papers``: its name, and its module. This file is the only
code that knows both places where a paper's configs can lie: ``<module>/.mim`` in a wheel, the package's root in an
editable install. Nothing here imports a paper or torch.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "mmrepro.papers"


class PaperNotFoundError(LookupError):
    """No installed package announces a paper of this name."""


def names() -> list[str]:
    """Return the names of the installed papers, sorted, with underscores."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def canonical(name: str) -> str:
    """Return the paper's name as it is announced; ``-`` and ``_``, upper and lower case are the same.

    Raises:
        PaperNotFoundError: no installed package announces it.
    """
    wanted = name.lower().replace("-", "_").removeprefix("mmrepro_")
    if wanted not in names():
        installed = ", ".join(names()) or "none"
        raise PaperNotFoundError(
            f"no paper named {name!r} is installed (installed: {installed}). "
            f'Install it from a checkout with: pip install ./shared "./packages/{wanted}[openmmlab]"'
        )
    return wanted


def module(name: str) -> str:
    """Return the name of the paper's module, for example ``mm_itransformer``."""
    name = canonical(name)
    return next(entry.value for entry in entry_points(group=GROUP) if entry.name == name)


def package_dir(name: str) -> Path:
    """Return the folder of the paper's module, without importing it."""
    spec = importlib.util.find_spec(module(name))
    if spec is None or not spec.submodule_search_locations:
        raise PaperNotFoundError(
            f"the paper {name!r} is announced, but its module {module(name)!r} is not importable: install it again"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def root(name: str) -> Path:
    """Return the folder that holds the paper's ``configs``, ``tools`` and ``model-index.yml``."""
    folder = package_dir(name)
    for candidate in (folder / ".mim", folder.parent.parent):
        if (candidate / "model-index.yml").is_file():
            return candidate
    raise PaperNotFoundError(f"the paper {name!r} has no model-index.yml beside {folder}: install it again")


def checkout(name: str) -> Path | None:
    """Return the package's root when it runs from a source checkout, else None (an installed wheel)."""
    folder = root(name)
    return folder if (folder / "pyproject.toml").is_file() else None


def configs(name: str) -> list[Path]:
    """Return every config of the paper that stands for itself (not ``_base_``), sorted by path."""
    folder = root(name) / "configs"
    return sorted(path for path in folder.rglob("*.py") if "_base_" not in path.relative_to(folder).parts)


def find_config(name: str, config: str | Path) -> Path:
    """Return the file of a config given by path or by bare name, with or without ``.py``.

    Raises:
        FileNotFoundError: neither a file nor one of the paper's configs; close names are listed.
    """
    if Path(config).is_file():
        return Path(config)
    stem = Path(config).name.removesuffix(".py")
    found = {path.stem: path for path in configs(name)}
    if stem in found:
        return found[stem]
    from difflib import get_close_matches

    close = get_close_matches(stem, found, n=3, cutoff=0.3)
    hint = f" Did you mean: {', '.join(close)}?" if close else ""
    raise FileNotFoundError(f"{config} is neither a file nor a config of {name}.{hint}")


@cache
def metafiles(name: str) -> list[dict]:
    """Return the parsed metafiles that the paper's ``model-index.yml`` imports, in its order."""
    import yaml

    folder = root(name)
    index = yaml.safe_load((folder / "model-index.yml").read_text(encoding="utf-8"))
    return [yaml.safe_load((folder / path).read_text(encoding="utf-8")) for path in index["Import"]]
