"""Overlap of rotated rectangles: known areas, coinciding sides, invariances and a plain Monte-Carlo count."""

import numpy as np
import pytest

from mm_monodino_detr.evaluation import rotated_intersection as module
from mm_monodino_detr.evaluation.rotated_intersection import rotated_intersection


def random_pairs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    first, second = (
        np.concatenate(
            [random.uniform(-2, 2, (count, 2)), random.uniform(0.3, 5, (count, 2)), random.uniform(-7, 7, (count, 1))],
            1,
        )
        for _ in range(2)
    )
    return first, second


@pytest.mark.parametrize(
    ("first", "second", "area"),
    [
        ((0, 0, 4, 2, 0), (1, 0.5, 4, 2, 0), 4.5),
        ((0, 0, 4, 2, 0.3), (0, 0, 4, 2, 0.3), 8),
        ((0, 0, 4, 2, 0), (0, 0, 2, 4, np.pi / 2), 8),  # the same rectangle, described the other way
        ((5, 40, 2, 2, 0), (5, 40, 2, 2, np.pi / 4), 8 * (np.sqrt(2) - 1)),  # an octagon
        ((0, 0, 10, 10, 0.2), (1, 1, 2, 1, 1.1), 2),  # within
        ((0, 0, 4, 2, 0), (4, 0, 4, 2, 0), 0),  # a common side
        ((0, 0, 4, 2, 0), (9, 9, 4, 2, 0), 0),
        ((0, 0, -4, 2, 0), (0, 0, 4, 2, 0), 0),  # a size that is none
        ((0, 0, -4, -2, 0), (0, 0, 4, 2, 0), 0),
    ],
)
def test_known_areas(first, second, area):
    for one, other in ((first, second), (second, first)):
        assert rotated_intersection([one], [other])[0] == pytest.approx(area, abs=1e-12)


def test_the_length_lies_along_cos_and_minus_sin():
    long, dot = (0, 0, 10, 0.2, 0.5), (4 * np.cos(0.5), -4 * np.sin(0.5), 0.1, 0.1, 0)
    assert rotated_intersection([long], [dot])[0] == pytest.approx(0.01)
    assert rotated_intersection([long], [(dot[0], -dot[1], *dot[2:])])[0] == 0


def test_it_is_symmetric_and_moves_along():
    first, second = random_pairs(2000)
    areas = rotated_intersection(first, second)
    np.testing.assert_allclose(rotated_intersection(second, first), areas, atol=1e-12)
    turn, cos, sin = 0.7, np.cos(0.7), np.sin(0.7)
    moved = [
        np.concatenate([one[:, :2] @ [[cos, -sin], [sin, cos]] + [30, -60], one[:, 2:4], one[:, 4:] + turn], 1)
        for one in (first, second)
    ]
    np.testing.assert_allclose(rotated_intersection(*moved), areas, atol=1e-11)


def test_it_is_the_share_of_points_in_both():
    first, second = random_pairs(40, 1)
    points = np.random.default_rng(2).uniform(-6, 6, (40000, 2))

    def holds(box):
        shift = points - box[:2]
        cos, sin = np.cos(box[4]), np.sin(box[4])
        return (np.abs(shift @ [cos, -sin]) < box[2] / 2) & (np.abs(shift @ [sin, cos]) < box[3] / 2)

    counted = [144 * (holds(one) & holds(other)).mean() for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rotated_intersection(first, second), counted, atol=0.9)


def test_equal_far_and_empty():
    box = np.array([[3.0, 50, 4, 2, 0.3], [3, 50, 4, 2, 0.3], [3, 50, 0, 0, 0]])
    other = np.array([[3.0, 50, 4, 2, 0.3 + np.pi], [3, 90, 4, 2, 0.3], [3, 50, 0, 0, 0]])
    np.testing.assert_allclose(rotated_intersection(box, other), [8, 0, 0], atol=1e-12)
    assert rotated_intersection(np.empty((0, 5)), np.empty((0, 5))).shape == (0,)


def test_parts_give_what_the_whole_gives(monkeypatch):
    pairs = random_pairs(50, 3)
    whole = rotated_intersection(*pairs)
    monkeypatch.setattr(module, "_CHUNK", 7)
    np.testing.assert_array_equal(rotated_intersection(*pairs), whole)
