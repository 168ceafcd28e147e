"""Leaving autocast, on devices that have one and on those that have none."""

import torch

from mmrepro.engine.without_autocast import without_autocast


def test_products_keep_the_precision_of_their_factors():
    one = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with without_autocast(one):
            assert (one @ one).dtype == torch.float32
        assert (one @ one).dtype == torch.bfloat16


def test_a_device_without_autocast_has_none_to_leave():
    one = torch.ones(2, 2, device="meta")
    with without_autocast(one):
        assert (one @ one).dtype == torch.float32
