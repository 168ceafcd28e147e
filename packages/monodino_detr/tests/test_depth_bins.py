"""Depth bins: their widths, what they stand for, and what lies in none."""

import pytest
import torch

from mm_monodino_detr.models.depth_bins import bin_growth, depth_bin_targets, depth_bin_values


@pytest.mark.parametrize("bins", [(80, 1e-3, 60.0), (160, 1e-3, 120.0), (7, 2.0, 9.5)])
def test_a_bin_stands_for_its_near_end_and_each_is_wider_by_the_growth(bins):
    number, near, far = bins
    values = depth_bin_values(*bins)
    assert values.shape == (number + 1,)
    assert (values[0], values[-1]) == (pytest.approx(near, abs=1e-6), far)
    growth = torch.full((number - 1,), bin_growth(*bins))
    torch.testing.assert_close(values.diff().diff(), growth, rtol=0, atol=1e-4)
    assert torch.equal(depth_bin_targets(values[:-1] + 1e-3, *bins), torch.arange(number))


def test_what_lies_in_no_bin_is_background():
    depths = torch.tensor([0.0, -3.0, 60.001, 65.0, torch.nan, torch.inf])
    assert depth_bin_targets(depths).tolist() == [80] * 6
    assert depth_bin_targets(torch.tensor([65.0]), 160, 1e-3, 120.0) < 160


@pytest.mark.parametrize(
    ("bins", "said"), [((0, 0.0, 60.0), "num_depth_bins=0"), ((80, 60.0, 60.0), "depth_min=60"), ((8, -1, 9), "=-1")]
)
def test_bins_that_are_none_are_refused(bins, said):
    with pytest.raises(ValueError, match=said):
        depth_bin_values(*bins)
