"""Folders of generated pictures live as long as their process."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmrepro.datasets.generated.folder import temporary_folder


def test_a_folder_is_removed_when_the_process_ends():
    program = (
        f"from {temporary_folder.__module__} import temporary_folder\n"
        "folder = temporary_folder('shapes', 1, 'images', 'masks')\n"
        "(folder / 'images/a.png').write_bytes(b'x')\n"
        "print(folder, *sorted(path.name for path in folder.iterdir()))"
    )
    folder, *parts = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert Path(folder).name.startswith("mmrepro_shapes_")
    assert parts == ["images", "masks"]
    assert not Path(folder).exists()


def test_every_call_gives_another():
    assert temporary_folder("shapes", 1) != temporary_folder("shapes", 1)


def test_no_picture_is_an_error():
    with pytest.raises(ValueError, match="count=0 must be at least 1"):
        temporary_folder("shapes", 0)
