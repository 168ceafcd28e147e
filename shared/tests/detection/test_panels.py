"""Figures of detections: tags and boxes stay in their panel, and panels show the whole picture."""

import numpy as np
import pytest

from mmrepro.detection.panels import box, class_name, panels, show, tag

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(("count", "columns", "grid"), [(1, 3, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 3)), (7, 4, (2, 4))])
def test_pictures_stand_in_rows(count, columns, grid):
    figure, axes = panels(PICTURE, count, columns)
    assert len(axes) == count
    assert axes[0].get_gridspec().get_geometry() == grid
    width, height = figure.get_size_inches()
    assert width / height == pytest.approx(grid[1] * 60 / (grid[0] * 40), rel=0.25)


def test_boxes_do_not_change_what_is_shown():
    _, (axis,) = panels(PICTURE, 1)
    box(axis, (-30, -30, 100, 100), "red", 1.0)
    show(axis, PICTURE)
    assert axis.get_xlim() == (-0.5, 59.5)
    assert axis.get_ylim() == (39.5, -0.5)
    (drawn,) = axis.patches
    assert (drawn.get_xy(), drawn.get_width(), drawn.get_height()) == ((-30, -30), 130, 130)


@pytest.mark.parametrize(("corner", "shown"), [((5, 7), (5, 7)), ((-20, -9), (-0.5, -0.5)), ((500, 90), (59.5, 39.5))])
def test_a_tag_stays_at_the_picture(corner, shown):
    _, (axis,) = panels(PICTURE, 1)
    tag(axis, *corner, "disc 0.50", "black")
    (text,) = axis.texts
    assert text.get_position() == shown


def test_labels_without_a_name_are_numbers():
    assert [class_name(label, ("disc",)) for label in (0, 1)] == ["disc", "class 1"]
    assert class_name(0, None) == "class 0"
