"""Data sets that a test needs: found, or the test is skipped or fails, as the environment says."""

from __future__ import annotations

import os
from pathlib import Path


def require_data(name: str) -> dict[str, Path]:
    """Return the files of a registered data set by their registered names.

    Where the data set is not found the calling test is skipped, or fails if ``MMREPRO_REQUIRE_DATA`` is set (CI sets
    it where the data lies). A file with other contents than registered is an error everywhere.
    """
    import pytest

    from mmrepro.datasets import registry

    try:
        return registry.locate(name)
    except registry.DataNotFoundError as missing:
        if os.environ.get("MMREPRO_REQUIRE_DATA", "0") not in ("", "0"):
            pytest.fail(f"MMREPRO_REQUIRE_DATA is set, and {missing}")
        pytest.skip(str(missing))
