"""Two gloo processes against one."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from torch import nn

from mmrepro.engine import distributed, loops, reduced_losses_hook
from mmrepro.engine.partwise_parallel import PartwiseDistributedDataParallel
from mmrepro.engine.reduced_losses_hook import ReducedLossesHook
from mmrepro.testing import toy
from mmrepro.testing.distributed import assert_two_ranks_equal_one, gradient_errors
from mmrepro.testing.mean_gradients import assert_two_ranks_average_to_one

QUIET = {"model.dropout": 0.0, "train_dataloader.dataset.noise": 0.0}


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    assert_two_ranks_equal_one(toy.config(), tmp_path, changes=QUIET)


def test_several_configs_are_compared_at_once_and_the_one_that_differs_is_named(tmp_path):
    quiet, dropping = (toy.config(**{"train_dataloader.dataset.noise": 0.0, "model.dropout": p}) for p in (0.0, 0.5))
    with pytest.raises(AssertionError, match=r"^dropping: two processes do not average .* first\.weight by "):
        assert_two_ranks_average_to_one(dict(quiet=quiet, dropping=dropping), tmp_path)


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


def test_several_optimizers_get_their_own_model_wrapper_unless_the_config_names_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "0")
    parts = dict(constructor="SomeConstructor", first=dict(optimizer={}), second=dict(optimizer={}))
    config = Config(dict(optim_wrapper=parts, find_unused_parameters=True))
    distributed.set_up(config, "pytorch", 0)
    assert config.model_wrapper_cfg == dict(type="PartwiseDistributedDataParallel", find_unused_parameters=True)
    named = Config(dict(optim_wrapper=parts, model_wrapper_cfg=dict(type="Other")))
    distributed.set_up(named, "pytorch", 0)
    assert named.model_wrapper_cfg.type == "Other"
    single = Config(dict(optim_wrapper=dict(optimizer={})))
    distributed.set_up(single, "pytorch", 0)
    assert "model_wrapper_cfg" not in single


class Parts(nn.Module):
    """Two trainable parts and a frozen one, and a step that notes how they are wrapped."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.frozen = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)

    def train_step(self, data, optim_wrapper):
        self.seen = {name: type(part) for name, part in self.named_children()}
        if data is None:
            raise RuntimeError("a bad step")
        return {}


def test_parts_are_wrapped_while_a_step_runs_and_never_otherwise(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = Parts()
        names = list(model.state_dict())
        wrapped = PartwiseDistributedDataParallel(model)
        wrapped.train_step({}, None)
        with pytest.raises(RuntimeError, match="a bad step"):
            wrapped.train_step(None, None)
    finally:
        torch.distributed.destroy_process_group()
    ddp = nn.parallel.DistributedDataParallel
    assert model.seen == {"first": ddp, "second": ddp, "frozen": nn.Linear}
    assert list(model.state_dict()) == names
    assert len(list(wrapped.parameters())) == 6
    assert is_model_wrapper(wrapped)


def test_processes_draw_their_own_dropout(build, tmp_path, monkeypatch):
    weights = []
    for rank in (0, 0, 1):
        monkeypatch.setattr(loops, "get_rank", lambda rank=rank: rank)
        config = toy.config(custom_hooks=[], val_cfg=None, val_dataloader=None, val_evaluator=None)
        config.default_hooks.checkpoint.save_best = None
        runner = build(config, tmp_path / str(len(weights)))
        runner.train()
        weights.append(runner.model.first.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
