"""Headings as bins and residuals; the official tables are a parity case."""

import numpy as np
import torch

from mm_monodino_detr.models.heading_bins import BIN_SIZE, decode_heading, encode_heading


def test_an_angle_comes_back_within_a_half_turn():
    angles = np.linspace(-3.1, 3.1, 400)
    bins, residuals = encode_heading(angles)
    assert set(bins) == set(range(12))
    assert np.abs(residuals).max() <= BIN_SIZE / 2 + 1e-12
    np.testing.assert_allclose(decode_heading(bins, residuals), angles, atol=1e-12)


def test_the_first_bin_reaches_15_degrees_to_both_sides():
    bins, _ = encode_heading(np.deg2rad([-15.1, -14.9, 0, 14.9, 15.1]))
    assert bins.tolist() == [11, 0, 0, 0, 1]


def test_the_last_angle_before_a_turn_has_a_bin():
    last = np.nextafter(2 * np.pi, 0) - BIN_SIZE / 2
    bins, _ = encode_heading(np.array([last, -1e-17, 4 * np.pi]))
    assert bins.tolist() == [11, 0, 0]


def test_tensors_are_decoded_and_brought_down_once():
    angles = decode_heading(torch.tensor([0, 7, 11]), torch.tensor([-9.0, 0.1, 8.0]))
    turn = 2 * np.pi
    expected = [-9.0, 7 * BIN_SIZE + 0.1 - turn, 11 * BIN_SIZE + 8 - turn]  # beyond a turn it stays beyond pi
    torch.testing.assert_close(angles, torch.tensor(expected, dtype=angles.dtype))
