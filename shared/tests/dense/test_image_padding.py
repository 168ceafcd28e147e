"""Filling images up to multiples of 32, and cutting the results."""

import pytest
import torch

from mmrepro.dense.image_padding import cut, padded


def test_images_are_filled_up_with_zeros_at_the_bottom_and_the_right():
    images = torch.ones(1, 3, 33, 64)
    filled = padded(images)
    assert filled.shape == (1, 3, 64, 64)
    assert torch.equal(filled[:, :, :33], images)
    assert filled[:, :, 33:].abs().max() == 0


def test_images_that_fit_are_not_copied():
    images = torch.ones(1, 3, 32, 64)
    assert padded(images) is images


@pytest.mark.parametrize(("stride", "size"), [(4, (9, 16)), (8, (5, 8)), (16, (3, 4)), (32, (2, 2))])
def test_results_are_cut_to_the_part_that_the_image_reaches(stride, size):
    assert cut(torch.zeros(1, 1, 64 // stride, 64 // stride), 33, 64, stride).shape[2:] == size


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 0, 32)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"images of shape .* are not \(B, 3, h, w\)"):
        padded(torch.zeros(shape))
