"""The warm-up ends after a thousand steps or with the first epoch; the whole course is the parity case `optimizer`."""

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

import mm_relation_detr.warm_up  # noqa: F401  registers


def course(epoch_length, steps, **changes):
    adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    config = dict(type="FirstEpochLinearLR", start_factor=0.001, by_epoch=True, convert_to_iter_based=True) | changes
    schedule = PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=adamw, epoch_length=epoch_length))
    rates = []
    for _ in range(steps):
        rates.append(adamw.param_groups[0]["lr"])
        adamw.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(("epoch_length", "last"), [(50, 49), (2, 1), (1001, 1000), (5000, 1000)])
def test_it_reaches_the_full_rate_at_its_last_step(epoch_length, last):
    rates = course(epoch_length, last + 5)
    assert rates[0] == 0.001
    assert rates[last] == pytest.approx(1)
    assert rates[last - 1] < 1 - 0.5 / last
    assert rates[last + 4] == rates[last]


def test_fewer_steps_by_option():
    assert course(5000, 12, most=10)[10] == pytest.approx(1)


def test_an_epoch_of_one_step_has_none():
    assert course(1, 3) == [1, 1, 1]
