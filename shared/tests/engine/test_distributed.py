"""Two gloo processes against one."""

import pytest
import torch
from mmengine.config import Config

from mmrepro.engine import distributed, reduced_losses_hook
from mmrepro.engine.reduced_losses_hook import ReducedLossesHook
from mmrepro.testing import toy
from mmrepro.testing.distributed import assert_two_ranks_equal_one, gradient_errors

QUIET = {"model.dropout": 0.0, "train_dataloader.dataset.noise": 0.0}


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    assert_two_ranks_equal_one(toy.config(), tmp_path, changes=QUIET)


@pytest.mark.parametrize("present", [[], [dict(type="ReducedLossesHook")], [dict(type=ReducedLossesHook)]])
def test_a_launcher_makes_the_log_show_the_mean_loss_of_all_processes(present, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # mmengine meets the processes itself then
    monkeypatch.setenv("LOCAL_RANK", "0")
    config = Config(dict(custom_hooks=[dict(type="LoadBestHook"), *present]))
    distributed.set_up(config, "none", 0)
    assert len(config.custom_hooks) == 1 + len(present)
    distributed.set_up(config, "pytorch", 0)
    assert [hook.type for hook in config.custom_hooks][1:] in (["ReducedLossesHook"], [ReducedLossesHook])
    without = Config(dict())
    distributed.set_up(without, "pytorch", 0)
    assert without.custom_hooks == [dict(type="ReducedLossesHook")]


def test_losses_are_reduced_as_tensors_or_numbers(monkeypatch):
    monkeypatch.setattr(reduced_losses_hook, "get_world_size", lambda: 2)
    monkeypatch.setattr(reduced_losses_hook, "all_reduce", lambda values, op: values.div_(2))
    outputs = {"loss": torch.tensor([3.0]), "count": 4}
    ReducedLossesHook().after_train_iter(None, 0, outputs=outputs)
    assert {name: value.item() for name, value in outputs.items()} == {"loss": 1.5, "count": 2}


def test_gradients_that_differ_are_seen():
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1e-9]), "c": torch.tensor([1.0])}
    two = {"a": torch.tensor([1.0, 2.1]), "b": torch.tensor([2e-9]), "c": torch.tensor([torch.nan])}
    errors = gradient_errors(one, two, floor=1e-4)
    assert errors["a"] == pytest.approx(0.05)
    assert errors["b"] == pytest.approx(5e-6, rel=1e-3)  # rounding noise, against the model's largest gradient
    assert not errors["c"] <= 1
