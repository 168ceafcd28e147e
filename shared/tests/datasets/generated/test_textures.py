"""Generated pictures: the same for a seed, of the size asked for, written as files once for each process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrepro.datasets.generated.textures import texture, texture_folder


def test_a_seed_gives_the_same_picture_and_another_one_another():
    first = texture(24, 3)
    assert first.shape == (24, 24, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, texture(24, 3))
    assert (first != texture(24, 4)).any()


def test_it_has_detail_that_shrinking_loses():
    picture = texture(96, 0).astype(float)
    blurred = picture.reshape(48, 2, 48, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.abs(picture - blurred).mean() > 2
    assert picture.std() > 20


def test_the_folder_holds_the_pictures_as_files():
    folder = texture_folder(2, 16, seed=5)
    assert sorted(path.name for path in folder.iterdir()) == ["texture_0000.png", "texture_0001.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "texture_0001.png")), texture(16, 6))
    assert texture_folder(2, 16, seed=5) == folder
    assert texture_folder(2, 16, seed=7) != folder


def test_the_folder_is_gone_when_the_process_ends():
    code = "from mmrepro.datasets.generated.textures import texture_folder; print(texture_folder(1, 4))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()).name.startswith("mmrepro_textures_")
    assert not Path(ran.stdout.strip()).exists()


def test_nothing_and_no_size_are_refused():
    with pytest.raises(ValueError, match="count=0 must be at least 1"):
        texture_folder(0)
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        texture(0, 0)
