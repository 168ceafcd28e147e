"""A run that is interrupted anywhere, and resumed, ends bit by bit like the run that is left alone."""

import itertools
import random

import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import RandomSampler

from mmrepro.engine import random_state
from mmrepro.engine.errors import UserError
from mmrepro.testing import toy
from mmrepro.testing.resume import assert_resume_bit_equal, differences, final_state


@DATA_SAMPLERS.register_module()
class GlobalGeneratorSampler(RandomSampler):
    """Draws its order from torch's global generator."""

    def __init__(self, dataset, seed=None):
        super().__init__(dataset)


EVERY_3 = {"default_hooks__checkpoint__interval": 3, "default_hooks__checkpoint__by_epoch": False}
SETTINGS = {
    "epochs, a checkpoint per epoch": (toy.config, {}),
    "epochs, a checkpoint every 3 iterations": (toy.config, EVERY_3),
    "epochs, a checkpoint at each epoch's last iteration": (
        toy.config,
        {**EVERY_3, "default_hooks__checkpoint__interval": 5},
    ),
    "epochs, order from the global generator": (
        toy.config,
        {**EVERY_3, "train_dataloader__sampler": dict(type="GlobalGeneratorSampler", _delete_=True)},
    ),
    "epochs, gradients accumulate over two iterations": (
        toy.config,
        {**EVERY_3, "optim_wrapper__accumulative_counts": 2},
    ),
    "iterations, infinite sampler": (toy.config, {"by_epoch": False, "default_hooks__checkpoint__interval": 3}),
    "iterations, finite sampler": (
        toy.config,
        {
            "by_epoch": False,
            "default_hooks__checkpoint__interval": 3,
            "train_dataloader__sampler": dict(type="DefaultSampler", shuffle=True),
        },
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_interrupted_anywhere(setting, train, tmp_path):
    make, changes = SETTINGS[setting]
    train(make(**changes), tmp_path / "left_alone")
    reference = final_state(tmp_path / "left_alone")
    points = random.Random(setting).sample([(at, False) for at in range(1, 25)], 2)
    points.append((random.Random(setting).choice([5, 10, 15]), True))
    points.sort(key=lambda point: (point[0], not point[1]))  # a validation comes before the next iteration
    for point in points:
        train(make(**changes), tmp_path / "killed", resume=True, interrupt=point)
    train(make(**changes), tmp_path / "killed", resume=True)
    assert differences(reference, final_state(tmp_path / "killed")) == [], points


def test_the_seed_comes_from_the_checkpoint(train, tmp_path):
    train(toy.config(**EVERY_3), tmp_path / "left_alone")
    train(toy.config(**EVERY_3), tmp_path / "killed", interrupt=(8, False))
    train(toy.config(**EVERY_3, randomness=dict(seed=None)), tmp_path / "killed", resume=True)
    assert differences(final_state(tmp_path / "left_alone"), final_state(tmp_path / "killed")) == []


def test_killed_processes_with_0_and_2_workers(tmp_path):
    assert_resume_bit_equal(
        toy.config(), tmp_path, kill_at=(7,), kill_in_validation_at=(15,), num_workers=(0, 2), checkpoint_every=3
    )


def test_two_killed_ranks(tmp_path):
    workers = dict(num_workers=(2,), persistent_workers=False)
    assert_resume_bit_equal(
        toy.config(by_epoch=False), tmp_path, kill_at=(11,), processes=2, checkpoint_every=4, **workers
    )


def test_the_helper_sees_a_run_that_is_not_resumed_equally(train, tmp_path):
    train(toy.config(), tmp_path / "one")
    train(toy.config(randomness=dict(seed=4)), tmp_path / "two")
    found = differences(final_state(tmp_path / "one"), final_state(tmp_path / "two"))
    assert any(name.startswith("state_dict.first.weight") for name in found)
    assert any(name.startswith("resume.random.0.torch") for name in found)


def test_a_run_stopped_early_stays_stopped(train, tmp_path):
    scores = [3.0, 2.0, 2.5, 2.0, 2.1, 2.2, 2.3, 1.0]
    changes = {"train_cfg__max_epochs": 8, "val_evaluator": dict(type="ToyMetric", scores=scores)}
    runner = train(toy.config(**changes), tmp_path / "left_alone")
    assert runner.epoch == 7  # a tie counts as an improvement, three worse ones stop
    train(toy.config(**changes), tmp_path / "killed", interrupt=(28, False))
    # The checkpoint of epoch 5 came before its validation, which gave no new best: it is repeated.
    rest = {**changes, "val_evaluator": dict(type="ToyMetric", scores=scores[4:])}
    runner = train(toy.config(**rest), tmp_path / "killed", resume=True)
    assert runner.epoch == 7


def test_validation_and_iterators_leave_the_random_states_alone(train, tmp_path):
    train(toy.config(), tmp_path / "with")
    train(toy.config(val_cfg=None, val_dataloader=None, val_evaluator=None, custom_hooks=[]), tmp_path / "without")
    with_validation, without = final_state(tmp_path / "with"), final_state(tmp_path / "without")
    assert differences(with_validation["state_dict"], without["state_dict"]) == []


def test_augmentation_differs_between_epochs_and_not_between_numbers_of_workers(build, tmp_path):
    batches = {}
    for workers in (0, 2):
        loop = build(toy.config(train_dataloader__num_workers=workers), tmp_path / str(workers)).train_loop
        batches[workers] = [batch["inputs"] for epoch in (0, 1) for batch in loop._batches(epoch)]
    assert all(torch.equal(*pair) for pair in zip(batches[0], batches[2], strict=True))
    straight = {"train_dataloader__sampler__shuffle": False}
    loop = build(toy.config(**straight), tmp_path / "straight").train_loop
    first, second = (next(iter(loop._batches(epoch)))["inputs"] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_an_infinite_sampler_starts_again_after_an_iterator_was_dropped(build, tmp_path):
    batches = build(toy.config(by_epoch=False), tmp_path).train_loop.dataloader.batch_sampler
    batches.start(0)
    whole = [indices for _, indices in itertools.islice(batches, 8)]
    batches.start(0, skip=3)
    assert list(itertools.islice(batches, 5)) == [((3, 0, 0, 3 + i), whole[3 + i]) for i in range(5)]


def test_a_foreign_checkpoint_is_resumed_with_a_warning(train, tmp_path, caplog):
    checkpoint = dict(type="CheckpointHook", interval=1, _delete_=True)
    train(toy.config(default_hooks__checkpoint=checkpoint), tmp_path / "run", interrupt=(13, False))
    runner = train(toy.config(), tmp_path / "run", resume=True)
    assert runner.epoch == 5
    assert "will differ" in next((tmp_path / "run" / runner.timestamp).glob("*.log")).read_text()


def test_resuming_restores_the_config_in_the_message_hub(train, tmp_path):
    train(toy.config(), tmp_path, interrupt=(13, False))
    runner = train(toy.config(), tmp_path, resume=True)
    assert runner.message_hub.get_info("cfg") == runner.cfg.pretty_text


def test_random_states_survive_the_safe_loader(tmp_path):
    random.seed(1), np.random.seed(2), torch.manual_seed(3)  # noqa: NPY002
    np.random.standard_normal()  # noqa: NPY002  leaves a cached second value
    random.gauss(0, 1)

    def draw():
        return random.random(), random.gauss(0, 1), np.random.standard_normal(), torch.rand(()).item()  # noqa: NPY002

    torch.save(random_state.capture(), tmp_path / "state.pth")
    drawn = draw()
    assert draw() != drawn
    random_state.restore(torch.load(tmp_path / "state.pth", weights_only=True))
    assert draw() == drawn


def test_no_batch_at_all_is_said(build, tmp_path):
    runner = build(toy.config(train_dataloader__batch_size=64), tmp_path)
    with pytest.raises(UserError, match="44 samples, batch size 64, drop_last=True"):
        runner.train()
