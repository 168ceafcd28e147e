"""Sphinx settings; the model zoo pages are generated from the metafiles and ledgers before the build."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

import mmrepro
from mmrepro import papers
from mmrepro.reproduction import tables

project = "mmrepro"
author = "The mmrepro authors"
copyright = "2026, The mmrepro authors"
version = release = mmrepro.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"mmrepro {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "description"

zoo = Path(__file__).parent / "zoo"
zoo.mkdir(exist_ok=True)
for name in papers.names():
    module = papers.module(name)
    api = "".join(f"\n.. automodule:: {module}.{part}\n   :members:\n" for part in ("models", "datasets", "evaluation"))
    page = f"{tables.zoo_page(name)}\n## API\n\n```{{eval-rst}}{api}```\n"
    (zoo / f"{name}.md").write_text(page, encoding="utf-8")


def _skipped(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out what stands elsewhere: the core's classes on the API page, a named tuple's fields in its docstring."""
    of_core = what == "module" and str(getattr(obj, "__module__", "")).startswith("mmrepro.")
    if type(obj).__name__ == "_tuplegetter" or (of_core and app.env.docname.startswith("zoo/")):
        return True
    return None


def setup(app: Sphinx) -> None:
    """Register what the builder calls."""
    app.connect("autodoc-skip-member", _skipped)
