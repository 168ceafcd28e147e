"""A training that goes wrong stops, says where, and keeps what was good."""

import pytest
import torch

from mmrepro import safe_loading
from mmrepro.engine import train as entry_point
from mmrepro.engine.checkpoint_hook import latest_checkpoint
from mmrepro.engine.errors import NonFiniteError
from mmrepro.testing import toy

CLIPPED = dict(optim_wrapper__clip_grad=dict(max_norm=1.0))


@pytest.mark.parametrize("changes", [{}, CLIPPED], ids=["plain", "clipped"])
def test_a_bad_batch_is_named_and_saved(changes, build, tmp_path):
    runner = build(toy.config(train_dataloader__dataset__poison=5, **changes), tmp_path)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    assert "the gradient of 'first.weight' is not finite" in str(error.value)
    assert "The batch itself holds such values, in 'inputs'." in str(error.value)
    saved = next((tmp_path / "non_finite").iterdir())
    assert str(saved) in str(error.value)
    assert torch.load(saved, weights_only=True)["batch"]["inputs"].isnan().any()
    assert all(torch.isfinite(weight).all() for weight in runner.model.parameters())  # the step was not made


def test_the_first_bad_module_is_named_and_the_last_good_checkpoint_stays(build, tmp_path):
    runner = build(toy.config(model__explode_at=8), tmp_path)
    with pytest.raises(NonFiniteError) as error:
        runner.train()
    assert str(error.value).startswith("iteration 8: the gradient of ")
    assert "the first such output is that of the module 'second'" in str(error.value)
    good = latest_checkpoint(tmp_path)
    assert good.name == "epoch_1.pth"
    assert f"The last good checkpoint is {good}." in str(error.value)
    assert all(torch.isfinite(weight).all() for weight in safe_loading.load(good)["state_dict"].values())


def test_the_first_bad_gradient_is_named_although_clipping_spreads_it(build, tmp_path):
    runner = build(toy.config(**CLIPPED), tmp_path)
    runner.model.second.bias.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteError, match=r"the gradient of 'second\.bias' .* arises in the backward pass"):
        runner.train()


def test_a_loss_that_does_not_reach_the_gradients_is_named(build, tmp_path, monkeypatch):
    forward = toy.ToyModel.forward

    def with_logged_value(self, *args, mode="tensor", **kwargs):
        result = forward(self, *args, mode=mode, **kwargs)
        return {**result, "scale": torch.tensor(torch.inf)} if mode == "loss" else result

    monkeypatch.setattr(toy.ToyModel, "forward", with_logged_value)
    with pytest.raises(NonFiniteError, match=r"the loss 'scale' .* the loss 'scale' is not"):
        build(toy.config(), tmp_path).train()


def test_bad_weights_are_not_written(build, tmp_path):
    """A finite gradient times a huge rate: the weights are bad before any loss is."""
    runner = build(toy.config(default_hooks__checkpoint__by_epoch=False), tmp_path)

    class Spoil(torch.optim.Adam):
        def step(self, closure=None):
            super().step(closure)
            if runner.iter == 3:
                self.param_groups[0]["params"][0].data.fill_(torch.inf)

    runner.optim_wrapper["optimizer"]["type"] = Spoil
    with pytest.raises(NonFiniteError, match=r"iteration 4: the weight 'first\.weight' is not finite"):
        runner.train()
    assert latest_checkpoint(tmp_path).name == "iter_3.pth"
    assert sorted(path.name for path in tmp_path.glob("*.pth*")) == ["iter_2.pth", "iter_3.pth"]


def test_the_entry_point_prints_one_line(tmp_path):
    toy.config(train_dataloader__dataset__poison=5).dump(tmp_path / "toy_config.py")
    with pytest.raises(SystemExit, match=r"error: iteration \d: the gradient of 'first.weight' is not finite"):
        entry_point.main(argv=[str(tmp_path / "toy_config.py"), "--work-dir", str(tmp_path / "run")])
