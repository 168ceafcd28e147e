"""Drawings of crops side by side."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mm_hat.datasets.imresize import imresize
from mm_hat.visualization import detailed_boxes, draw_crops


@pytest.fixture
def low() -> np.ndarray:
    """A grey wall with a chequered patch of 8 x 8 at (20, 4)."""
    image = np.full((36, 30, 3), 0.5, np.float32)
    image[20:28, 4:12] = (np.indices((8, 8)).sum(0) % 2)[..., None]
    return image


@pytest.fixture
def titles(monkeypatch) -> list[str]:
    """The panels' titles of what is drawn, and their number."""
    found: list[str] = []
    save = Figure.savefig

    def savefig(figure, *args, **kwargs):
        found.extend(axis.get_title() for axis in figure.axes)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return found


def test_the_detailed_place_is_found_without_looking_at_a_result(low):
    assert detailed_boxes(low, 8, 1)[0] == (20, 4, 8)
    boxes = detailed_boxes(low, 8, 99)
    squares = np.zeros(low.shape[:2], int)
    for top, left, size in boxes:
        squares[top : top + size, left : left + size] += 1
    assert squares.max() == 1
    assert len(boxes) > 3


def test_without_a_truth_three_pictures_stand_side_by_side(low, titles, tmp_path):
    path = draw_crops(low, imresize(low, 2), tmp_path / "new" / "crops.png", limit=1)
    assert titles == ["", "low resolution (x2)", "bicubic", "ours"]
    with Image.open(path) as image:
        image.load()
        assert image.width > image.height
    assert [file.name for file in path.parent.iterdir()] == ["crops.png"]


def test_with_a_truth_come_its_values_and_the_errors(low, titles, tmp_path):
    bicubic = imresize(low, 2)
    draw_crops(low, bicubic, tmp_path / "crops.png", truth=bicubic.clip(0, 1), limit=2)
    assert titles[:5] == ["", "low resolution (x2)", "bicubic\ninf dB / 1.0000", "ours\ninf dB / 1.0000", "truth"]
    assert titles[5].startswith("error of bicubic")
    assert titles[6].startswith("error of ours")
    assert len(titles) == 1 + 2 * 6


def test_chosen_boxes_are_drawn_and_shown_on_the_whole(low, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **kwargs: shown.append(figure))
    draw_crops(low, imresize(low, 2), tmp_path / "crops.png", boxes=[(20, 4, 8), (0, 0, 5)])
    whole, small, bicubic, _, second, *_ = shown[0].axes
    assert [patch.get_bbox().bounds for patch in whole.patches] == [(7.5, 39.5, 16, 16), (-0.5, -0.5, 10, 10)]
    chequers = np.indices((8, 8)).sum(0) % 2 * 255
    assert np.array_equal(small.images[0].get_array()[..., 0], chequers)
    assert bicubic.images[0].get_array().shape == (16, 16, 3)
    assert second.images[0].get_array().shape == (5, 5, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (9, 12)])
def test_tiny_pictures_are_drawn(size, tmp_path):
    low = np.random.default_rng(0).random((*size, 3)).astype(np.float32)
    large = imresize(low, 2).clip(0, 1)
    assert draw_crops(low, large, tmp_path / "crops.png", truth=large).is_file()


def test_sizes_that_do_not_fit_are_refused(low, tmp_path):
    large = imresize(low, 2)
    with pytest.raises(ValueError, match="71 x 60 pixels are not a whole multiple of 36 x 30"):
        draw_crops(low, large[1:], tmp_path / "crops.png")
    with pytest.raises(ValueError, match=r"the truth has the shape \(3, 70, 60\), the restored picture \(3, 72, 60\)"):
        draw_crops(low, large, tmp_path / "crops.png", truth=large[2:])
    with pytest.raises(ValueError, match=r"box .* = \(30, 0, 8\) lies outside a picture of 36 x 30 pixels"):
        draw_crops(low, large, tmp_path / "crops.png", boxes=[(30, 0, 8)])
    assert not any(tmp_path.iterdir())
