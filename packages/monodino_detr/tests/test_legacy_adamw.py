"""The official AdamW: its step in float64, what torch's does otherwise, and settings that it does not take.

The stored case ``adamw`` compares four steps with the official code's.
"""

import copy
from math import sqrt

import pytest
import torch
from mmengine.registry import OPTIMIZERS
from torch import nn

from mm_monodino_detr.legacy_adamw import LegacyAdamW

SETTINGS = dict(lr=0.01, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.5)


def parameter(values=(1.0, -2.0, 0.5)) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_two_steps_are_those_of_the_formula():
    one, gradients = parameter(), (torch.tensor([0.3, -1.0, 0.0]).double(), torch.tensor([-2.0, 0.1, 0.0]).double())
    optimizer = OPTIMIZERS.build(dict(type="LegacyAdamW", params=[one], **SETTINGS))
    expected = one.detach().clone()
    average = squares = torch.zeros(3).double()
    for step, gradient in enumerate(gradients, 1):
        one.grad = gradient
        optimizer.step()
        average = 0.8 * average + 0.2 * gradient
        squares = 0.9 * squares + 0.1 * gradient**2
        size = 0.01 * sqrt(1 - 0.9**step) / (1 - 0.8**step)
        expected = expected - size * (0.5 * expected + average / (squares.sqrt() + 1e-3))
        torch.testing.assert_close(one.detach(), expected, rtol=1e-12, atol=0)


def test_decay_and_eps_are_not_torchs():
    """Torch's decay does not know the bias correction, and its eps stands beside the corrected root."""
    for settings in (dict(eps=0.0, weight_decay=0.5), dict(eps=0.1, weight_decay=0.0)):
        ours, theirs = parameter(), parameter()
        for one, kind in ((ours, LegacyAdamW), (theirs, torch.optim.AdamW)):
            one.grad = torch.tensor([0.3, -1.0, 2.0]).double()
            kind([one], lr=0.01, **settings).step()
        assert (ours - theirs).abs().max() > 1e-3
    ours, theirs = parameter(), parameter()
    for one, kind in ((ours, LegacyAdamW), (theirs, torch.optim.AdamW)):
        one.grad = torch.tensor([0.3, -1.0, 2.0]).double()
        kind([one], lr=0.01, eps=0.0, weight_decay=0.0).step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_what_has_no_gradient_stays_as_it_is():
    used, unused = parameter(), parameter()
    optimizer = LegacyAdamW([dict(params=[used, unused])], **SETTINGS)
    used.grad = torch.ones(3).double()
    optimizer.step()
    assert unused.tolist() == [1.0, -2.0, 0.5]
    assert set(optimizer.state) == {used}


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped():
    one, other = parameter(), parameter()
    optimizer = LegacyAdamW([one], **SETTINGS)
    one.grad = torch.tensor([0.3, -1.0, 2.0]).double()
    optimizer.step()
    resumed = LegacyAdamW([other], **SETTINGS)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other.data.copy_(one.data)
    for kind in (one, other):
        kind.grad = torch.tensor([-1.0, 0.5, 0.1]).double()
    optimizer.step()
    resumed.step()
    assert torch.equal(one, other)


def test_a_closure_is_called_with_gradients():
    one = parameter()
    optimizer = LegacyAdamW([one], **SETTINGS)

    def closure() -> torch.Tensor:
        loss = (one**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 5.25
    assert one[0] < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(lr=-1.0), "lr=-1.0 of LegacyAdamW. Fix"),
        (dict(weight_decay=float("nan")), "weight_decay=nan of LegacyAdamW. Fix"),
        (dict(betas=(0.9, 1.0)), r"betas=\(0.9, 1.0\) of LegacyAdamW. Fix"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LegacyAdamW([parameter()], **settings)


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse=False"):
        LegacyAdamW(table.parameters()).step()
