"""Run a script of another library where ``mmcv._ext`` is served: ``python -m mmrepro.ops SCRIPT [ARGUMENTS]``.

For scripts that import operators before they read a config's ``custom_imports``, such as mmdetection's ``test.py``.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the script named first as Python itself would: its folder leads the path, ``sys.argv`` is its own."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m mmrepro.ops SCRIPT [ARGUMENTS]")
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
