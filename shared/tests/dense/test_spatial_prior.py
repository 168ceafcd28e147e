"""The convolutional branch: sizes, and batch norm over processes where there is only one."""

import pytest
import torch
from torch import nn

from mmrepro.dense.spatial_prior import SpatialPrior


def test_maps_have_the_trunks_width_at_four_strides():
    maps = SpatialPrior(12, 4).eval()(torch.randn(2, 3, 64, 96))
    assert [tuple(one.shape) for one in maps] == [(2, 12, 64 // s, 96 // s) for s in (4, 8, 16, 32)]


def test_synchronised_batch_norm_trains_in_one_process_on_the_cpu_as_batch_norm():
    images = torch.randn(2, 3, 64, 64)
    synchronised, plain = SpatialPrior(12, 4).train(), SpatialPrior(12, 4, {"type": "BN"}).train()
    plain.load_state_dict(synchronised.state_dict())
    assert isinstance(synchronised.stem[1], nn.SyncBatchNorm)
    pairs = zip(synchronised(images), plain(images), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
    assert torch.equal(synchronised.conv4[1].running_var, plain.conv4[1].running_var)


@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_norms_are_found_from_the_libraries_registries(scope):
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope(scope):
        network = SpatialPrior(12, 4, {"type": "GN", "num_groups": 2, "requires_grad": False})
    assert isinstance(network.conv2[1], nn.GroupNorm)
    assert not network.conv2[1].weight.requires_grad
