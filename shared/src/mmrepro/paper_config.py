"""Reading a config of one paper, for code that builds a network from it outside of a training."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmrepro import papers
from mmrepro.engine.errors import UserError


def read_config(paper: str, model: str | Path | Config) -> Config:
    """Return a config of a paper, its modules imported.

    Args:
        paper: its name, such as ``vit_comer``.
        model: the config's name, its path, or itself, of which a copy is returned.

    Raises:
        FileNotFoundError: there is none of that name.
        UserError: it is another package's, or no config.
    """
    if isinstance(model, Config):
        name, config = "the config", copy.deepcopy(model)
    else:
        name = papers.find_config(paper, model)
        try:
            config = Config.fromfile(name, import_custom_modules=False)  # another package's may not be there
        except OSError as error:
            raise UserError(f"{name} is no config: {error}. Fix: give a Python file with a config") from error
    module, named = papers.module(paper), config.get("custom_imports") or {}
    if module not in named.get("imports", ()):
        raise UserError(
            f"{name} is not for this package: its custom_imports have no {module}. "
            f"Fix: `mmrepro list {paper}` shows the configs"
        )
    import_modules_from_strings(**named)
    return config
