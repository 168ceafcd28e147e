"""Linear layers by way of oneDNN: the numbers of PyTorch's own layers, and when which is taken."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrepro.ops import pointwise
from mmrepro.ops.onednn import product
from mmrepro.ops.pointwise import PointwiseConv2d, PointwiseLinear, linear, with_pointwise


@pytest.mark.parametrize("shape", [(2, 21, 24, 6), (1, 34, 6), (37, 6), (1, 5, 6), (0, 6), (32, 6)])
def test_results_and_gradients_are_those_of_torch(shape):
    ours = PointwiseLinear(6, 10)
    theirs = nn.Linear(6, 10)
    theirs.load_state_dict(ours.state_dict())
    first, second = (torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape).requires_grad_() for _ in range(2))
    a, b = ours(first), theirs(second)
    assert a.shape == b.shape
    assert torch.allclose(a, b, atol=1e-6)
    a.square().sum().backward()
    b.square().sum().backward()
    assert torch.allclose(first.grad, second.grad, atol=1e-5)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, atol=1e-3)
    assert torch.allclose(ours.bias.grad, theirs.bias.grad, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 64, 12), (3, 5, 12)])
def test_without_a_bias_too(shape):
    tokens, weight = torch.randn(shape), torch.randn(7, 12)
    torch.testing.assert_close(linear(tokens, weight), F.linear(tokens, weight))


def test_it_is_a_convolution_where_the_number_of_tokens_has_a_divisor(monkeypatch):
    convolved = []
    monkeypatch.setattr(F, "conv2d", lambda maps, *rest: convolved.append(maps.shape) or torch.conv2d(maps, *rest))
    weight = torch.randn(3, 6)
    linear(torch.randn(1, 21 * 50, 6), weight)
    assert convolved == [(21, 6, 50, 1)]
    linear(torch.randn(1, 257, 6), weight)  # a prime
    linear(torch.randn(1, 64, 6, dtype=torch.float64), weight.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.randn(1, 64, 6), weight).dtype == torch.bfloat16
    assert len(convolved) == 1


def test_a_1x1_convolution_is_torchs_with_channels_last():
    ours, theirs = PointwiseConv2d(6, 10), nn.Conv2d(6, 10, 1)
    theirs.load_state_dict(ours.state_dict())
    maps = torch.randn(2, 6, 8, 12)
    assert torch.allclose(ours(maps), theirs(maps), atol=1e-6)
    assert ours(maps).is_contiguous(memory_format=torch.channels_last)


def test_a_traced_layer_takes_other_sizes():
    layer = PointwiseLinear(6, 10)
    traced = torch.jit.trace(layer, torch.randn(1, 32, 6))
    tokens = torch.randn(2, 37, 6)
    assert torch.allclose(traced(tokens), layer(tokens), atol=1e-6)


def test_without_a_graph_any_number_of_tokens_goes_to_onednn(monkeypatch):
    layer, tokens = PointwiseLinear(6, 10), torch.randn(2, 257, 6)
    taken = []
    monkeypatch.setattr(pointwise, "product", lambda *given: taken.append(len(given)) or product(*given))
    expected = F.linear(tokens, layer.weight, layer.bias)
    assert layer(tokens).requires_grad
    assert not taken
    with torch.no_grad():
        torch.testing.assert_close(layer(tokens), expected.detach())
        assert len(taken) == 1
        assert layer(tokens[:0]).shape == (0, 257, 10)
        assert layer.double()(tokens.double()).dtype == torch.float64
    assert len(taken) == 1


def test_linear_layers_of_a_module_become_fast_ones_with_their_parameters():
    module = nn.Sequential(nn.Linear(6, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    weights, tokens = {name: tensor.clone() for name, tensor in module.state_dict().items()}, torch.randn(3, 6)
    expected = module(tokens)
    assert with_pointwise(module) is module
    kinds = [type(layer) for layer in (module[0], module[1][0], module[1][1])]
    assert kinds == [PointwiseLinear, nn.ReLU, PointwiseLinear]
    torch.testing.assert_close(module(tokens), expected)
    assert module.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in module.state_dict().items())
