"""mmcv's own modules on the served operators: deformable and masked convolution, CARAFE, PSAMask, SyncBatchNorm."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

mmcv = pytest.importorskip("mmcv")
ops = pytest.importorskip("mmcv.ops")


def randomised(module: nn.Module, scale: float = 0.3) -> nn.Module:
    """Give every parameter random values in float64: mmcv begins with offsets of zero, where samples lie on kinks."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


def gradcheck(module: nn.Module, *inputs: Tensor) -> None:
    """Check the gradients of all parameters and floating inputs by finite differences."""
    leaves = [one for one in (*inputs, *module.parameters()) if one.requires_grad]
    torch.autograd.gradcheck(lambda *_: module(*inputs), leaves)


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("pack", ["DeformConv2dPack", "ModulatedDeformConv2dPack"])
def test_deformable_convolutions(pack):
    gradcheck(randomised(getattr(ops, pack)(2, 2, 3, stride=2, padding=1)), image(2, 2, 4, 3))


@pytest.mark.parametrize("pack", ["DeformConv2dPack", "ModulatedDeformConv2dPack"])
def test_deformable_convolutions_begin_as_convolutions(pack):
    module, x = getattr(ops, pack)(3, 4, 3, padding=1).double(), image(2, 3, 5, 6)
    modulation = 1.0 if pack == "DeformConv2dPack" else 0.5  # the sigmoid of zero
    torch.testing.assert_close(module(x), modulation * F.conv2d(x, module.weight, padding=1))


def test_a_deformable_convolution_pads_an_image_smaller_than_its_kernel():
    module, x = ops.DeformConv2d(2, 3, 3, padding=1).double(), image(1, 2, 2, 2)
    output = module(x, torch.zeros(1, 18, 2, 2, dtype=torch.float64))
    torch.testing.assert_close(output, F.conv2d(x, module.weight, padding=1))


def test_switchable_atrous_convolution():
    module = randomised(ops.SAConv2d(2, 2, 3, padding=1, use_deform=True), 0.1)
    # its weights are standardised with statistics that are no parameters; finite differences cost one pass per number
    gradcheck(module, image(1, 2, 3, 3))


@pytest.mark.parametrize("pack", ["DeformRoIPoolPack", "ModulatedDeformRoIPoolPack"])
def test_deformable_roi_pooling(pack):
    module = randomised(getattr(ops, pack)((2, 2), 2, deform_fc_channels=2, spatial_scale=0.5, sampling_ratio=2))
    rois = torch.tensor([[0, 1.3, 2.1, 7.9, 9.2], [1, 0.2, 0.4, 9.1, 8.3]], dtype=torch.float64)
    gradcheck(module, image(2, 2, 6, 6), rois)


def test_masked_convolution():
    module, x = ops.MaskedConv2d(2, 3, 3, padding=1), torch.randn(1, 2, 5, 6)
    mask = torch.rand(1, 5, 6) < 0.5
    with torch.no_grad():
        torch.testing.assert_close(module(x, mask.float()), module(x) * mask)


@pytest.mark.parametrize("module", ["CARAFE", "CARAFENaive"])
def test_carafe(module):
    module, x = getattr(ops, module)(3, 2, 2), image(1, 4, 2, 3)
    masks = torch.randn(1, 18, 4, 6, dtype=torch.float64).softmax(1).requires_grad_()
    windows = F.unfold(x, 3, padding=1).view(1, 2, 2, 9, 2, 1, 3, 1)
    expected = (windows * masks.view(1, 2, 1, 9, 2, 2, 3, 2)).sum(3).view(1, 4, 4, 6)
    torch.testing.assert_close(module(x, masks), expected)
    if isinstance(module, ops.CARAFE):  # mmcv asserts a GPU in the other's backward
        gradcheck(module, x, masks)


def test_carafe_pack():
    gradcheck(randomised(ops.CARAFEPack(2, 2, up_kernel=3, compressed_channels=2)), image(1, 2, 3, 2))


@pytest.mark.parametrize("kind", ["collect", "distribute"])
def test_psa_mask(kind):
    gradcheck(ops.PSAMask(kind, (3, 5)), image(2, 15, 3, 4))


def test_synchronised_batch_normalisation():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        module, plain = ops.SyncBatchNorm(3), nn.BatchNorm2d(3)
        plain.load_state_dict(module.state_dict())
        inputs = [
            torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)
        ]
        outputs = module(inputs[0]), plain(inputs[1])
        upper = torch.randn(4, 3, 5, 6)
        for output in outputs:
            output.backward(upper)
        ours, theirs = (
            [output, one.grad, model.weight.grad, model.bias.grad, model.running_mean, model.running_var]
            for output, one, model in zip(outputs, inputs, (module, plain), strict=True)
        )
        # sums of 120 terms of size one in float32
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(module.eval()(inputs[0]), plain.eval()(inputs[1]), rtol=1e-5, atol=1e-5)
    finally:
        torch.distributed.destroy_process_group()
