"""Figures and arrays as PNG files."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmrepro.figures import write_figure, write_png


def test_a_figure_is_written_whole_and_without_its_margins(tmp_path):
    figure = Figure(figsize=(4, 4))
    figure.add_axes((0.4, 0.4, 0.2, 0.2)).set_axis_off()  # 0.8 inches
    path = write_figure(figure, tmp_path / "new" / "figure.png", dpi=50)
    assert list(path.parent.iterdir()) == [path]
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == pytest.approx((48, 48), abs=2)  # with 0.08 inches on each side


@pytest.mark.parametrize(
    "picture",
    [
        np.arange(36, dtype=np.uint8).reshape(3, 4, 3),
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.arange(1000, 1012, dtype=np.uint16).reshape(3, 4),
    ],
)
def test_an_array_is_read_back_as_it_was(picture, tmp_path):
    path = write_png(picture, tmp_path / "new" / "picture.png")
    assert list(path.parent.iterdir()) == [path]
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = write_png(np.zeros((2, 2), np.uint8), tmp_path / "picture.png")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_png(np.zeros((2, 2), np.complex64), path)
    assert [path.read_bytes()] == [before]
    assert list(tmp_path.iterdir()) == [path]
