"""What both entry points do between the command line and the Runner."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import UserError, in_one_line

if TYPE_CHECKING:
    from mmengine.config import Config


@contextmanager
def prepared(args: argparse.Namespace, paper: str | None, change: Callable[[Config], None]) -> Iterator[Config]:
    """Yield the config of a run: safe loading is on, the engine's components are registered, the processes are met.

    Errors whose cause is the user's end the process with one line, inside the block too.

    Args:
        args: the command line.
        paper: the paper whose configs may be named without a path.
        change: what the entry point itself changes in the config.
    """
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    with in_one_line():
        if importlib.util.find_spec("mmengine") is None:
            package = f'"mmrepro-{paper.replace("_", "-")}[openmmlab]"' if paper else "onedl-mmengine"
            raise UserError(f"mmengine is not installed: pip install {package}")
        from mmrepro import safe_loading
        from mmrepro.engine import components, configuration, distributed  # noqa: F401  components register

        safe_loading.install()
        config = configuration.load(args, paper)
        change(config)
        distributed.set_up(config, args.launcher, args.local_rank)
        try:
            yield config
        finally:
            distributed.tear_down()
