"""Two gloo processes against one."""

import pytest
import torch

from mmrepro.testing import toy
from mmrepro.testing.distributed import assert_two_ranks_equal_one, gradient_errors

QUIET = {"model.dropout": 0.0, "train_dataloader.dataset.noise": 0.0}


def test_two_processes_average_to_the_gradients_of_one(tmp_path):
    assert_two_ranks_equal_one(toy.config(), tmp_path, changes=QUIET)


def test_gradients_that_differ_are_seen():
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1e-9]), "c": torch.tensor([1.0])}
    two = {"a": torch.tensor([1.0, 2.1]), "b": torch.tensor([2e-9]), "c": torch.tensor([torch.nan])}
    errors = gradient_errors(one, two, floor=1e-4)
    assert errors["a"] == pytest.approx(0.05)
    assert errors["b"] == pytest.approx(5e-6, rel=1e-3)  # rounding noise, against the model's largest gradient
    assert not errors["c"] <= 1
