"""Where a user's file lies."""

from __future__ import annotations

from pathlib import Path

from mmrepro.datasets.registry import data_roots


def find_file(file: str | Path, data_root: str | Path | None = None) -> Path:
    """Return the path of a file: as it is, or below a data root (``data_root``, ``$MMREPRO_DATA_ROOT``, ``./data``).

    Raises:
        FileNotFoundError: it is nowhere; the places that were searched are listed.
    """
    places = [Path(file), *(root / file for root in data_roots(data_root))]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{file}: no such file (searched: {', '.join(map(str, places))}). Fix: check the path")
    return found
