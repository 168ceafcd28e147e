"""Picture, annotation and prediction side by side: each panel has the right colours, and the legend both counts."""

import numpy as np
import pytest
from PIL import Image

from mm_vit_comer import comparison
from mm_vit_comer.comparison import CAPTION, Objects, draw_labels, draw_objects

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
CLASSES = ("red", "green", "blue")


@pytest.fixture
def legend(monkeypatch):
    """Collect the texts of legends."""
    written = []
    known = comparison.beside_lines

    def keep(picture, lines):
        written.extend(text for _, text in lines)
        return known(picture, lines)

    monkeypatch.setattr(comparison, "beside_lines", keep)
    return written


def panels(path, width):
    """Return the three panels, without captions."""
    with Image.open(path) as drawing:
        pixels = np.asarray(drawing)[CAPTION * 3 // 2 :]
    return [pixels[:, place : place + width] for place in (0, width + 6, 2 * (width + 6))]


def test_labels_stand_beside_the_picture_in_their_order(tmp_path, legend):
    picture = np.full((240, 300, 3), 100, np.uint8)
    truth, predicted = np.zeros((240, 300), int), np.ones((240, 300), int)
    truth[:60] = 255
    path = draw_labels(picture, truth, predicted, CLASSES, PALETTE, tmp_path / "deep" / "labels.png")
    shown, annotated, found = panels(path, 300)
    assert shown[120, 150].tolist() == [100, 100, 100]
    assert annotated[120, 150].tolist() == [178, 50, 50]
    assert annotated[20, 150].tolist() == [50, 50, 50]  # nothing
    assert found[120, 150].tolist() == [50, 178, 50]
    assert legend == ["annotated / predicted", "green  0.0% / 100.0%", "red  75.0% / 0.0%"]


def test_objects_have_boxes_and_masks_and_small_pictures_are_enlarged(tmp_path, legend):
    picture = np.full((60, 80, 3), 100, np.uint8)
    mask = np.zeros((1, 60, 80), bool)
    mask[0, 30:50, 20:40] = True
    truth = Objects(np.array([[20.0, 30, 40, 50]]), np.array([2]), mask)
    predicted = Objects(np.array([[20.0, 30, 40, 50]]), np.array([1]), mask, np.array([0.875]))
    path = draw_objects(picture, truth, predicted, CLASSES, PALETTE, tmp_path / "objects.png")
    shown, annotated, found = panels(path, 320)
    assert shown.shape[0] >= 240
    assert shown[160, 120].tolist() == [100, 100, 100]
    assert annotated[160, 120].tolist() == [50, 50, 178]
    assert found[160, 120].tolist() == [50, 178, 50]
    assert annotated[160, 81].tolist() == [0, 0, 255], "the box"
    assert legend == ["annotated / predicted", "red  0 / 0", "green  0 / 1", "blue  1 / 0"]


def test_a_picture_without_objects_is_drawn(tmp_path):
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 60, 80), bool), np.zeros(0))
    path = draw_objects(np.zeros((60, 80, 3), np.uint8), nothing, nothing, CLASSES, PALETTE, tmp_path / "none.png")
    assert not panels(path, 320)[2].any()


def test_a_name_stays_inside_the_picture(tmp_path):
    mask = np.zeros((1, 60, 80), bool)
    corner = Objects(np.array([[75.0, 0, 80, 5]]), np.array([0]), mask, np.array([1.0]))
    path = draw_objects(
        np.zeros((60, 80, 3), np.uint8), corner, corner, ("a long name",), PALETTE[:1], tmp_path / "c.png"
    )
    found = panels(path, 320)[2]
    white = (found[:20] == 255).all(-1)
    assert white.sum() > 20 * CAPTION
    assert not white[:, :200].any()
