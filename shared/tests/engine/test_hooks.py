"""Early stopping, the best weights, capped histories, the progress bar, bfloat16."""

import io
import random

import pytest
import torch
from rich.console import Console

from mmrepro import safe_loading
from mmrepro.engine.bf16 import BFloat16OptimWrapper
from mmrepro.engine.components import HistoryCapHook, ProgressHook, ResumableEarlyStoppingHook
from mmrepro.testing import toy


def official_rule(losses, patience=3):
    """The forecasting papers' EarlyStopping: the epochs run until the stop."""
    best, count = None, 0
    for epoch, loss in enumerate(losses, start=1):
        if best is None or loss <= best:
            best, count = loss, 0
        else:
            count += 1
        if count >= patience:
            return epoch
    return len(losses)


@pytest.mark.parametrize("seed", range(20))
def test_early_stopping_follows_the_official_rule(seed):
    losses = [random.Random(seed * 100 + i).randint(1, 6) / 10 for i in range(15)]  # few values: many ties
    hook, epochs = ResumableEarlyStoppingHook(monitor="mse"), 0
    for loss in losses:
        epochs += 1
        if hook._check_stop_condition(loss)[0]:
            break
    assert epochs == official_rule(losses)


def test_a_missing_metric_is_an_error(train, build, tmp_path):
    runner = build(toy.config(custom_hooks=[dict(type="ResumableEarlyStoppingHook", monitor="mae")]), tmp_path)
    with pytest.raises(RuntimeError, match="`mae is not available"):
        runner.train()


def test_the_best_weights_are_in_the_model_after_training(train, tmp_path):
    scores = dict(type="ToyMetric", scores=[3.0, 1.0, 2.0, 2.0, 2.0])
    runner = train(toy.config(val_evaluator=scores, train_cfg__max_epochs=4), tmp_path)
    best = safe_loading.load(tmp_path / "best_mse_epoch_2.pth")["state_dict"]
    last = safe_loading.load(tmp_path / "epoch_4.pth")["state_dict"]
    for name, weight in runner.model.state_dict().items():
        assert torch.equal(weight, best[name])
        assert not torch.equal(weight, last[name])


def test_without_validation_the_last_weights_stay(train, tmp_path):
    runner = train(toy.config(val_cfg=None, val_dataloader=None, val_evaluator=None), tmp_path)
    last = safe_loading.load(tmp_path / "epoch_5.pth")["state_dict"]
    assert all(torch.equal(weight, last[name]) for name, weight in runner.model.state_dict().items())


def test_histories_are_capped(build, tmp_path):
    runner = build(toy.config(), tmp_path)
    runner.register_hook(HistoryCapHook(max_length=7))
    runner.train()
    lengths = {name: len(history.data[0]) for name, history in runner.message_hub.log_scalars.items()}
    assert lengths["train/loss"] == 7
    assert lengths["val/mse"] == 5


def test_the_progress_bar_is_drawn_on_terminals_only(build, tmp_path):
    drawn = {}
    for terminal in (False, True):
        output = io.StringIO()
        output.isatty = lambda terminal=terminal: terminal
        runner = build(toy.config(train_cfg__max_epochs=1, custom_hooks=[]), tmp_path / str(terminal))
        streams = [handler.stream for handler in runner.logger.handlers]
        runner.register_hook(ProgressHook(Console(file=output, force_terminal=True)))
        runner.train()
        assert [handler.stream for handler in runner.logger.handlers] == streams
        drawn[terminal] = output.getvalue()
    assert drawn[False] == ""
    assert "train" in drawn[True]
    assert "5/5" in drawn[True]
    assert "loss" in drawn[True]


def test_bfloat16_trains_with_float32_weights(train, tmp_path, monkeypatch):
    dtypes = set()
    forward = toy.ToyModel.forward

    def watched(self, inputs, targets, mode="tensor"):
        if mode == "loss":
            dtypes.add(self.first(inputs).dtype)
        return forward(self, inputs, targets, mode)

    monkeypatch.setattr(toy.ToyModel, "forward", watched)
    runner = train(toy.config(optim_wrapper__type="BFloat16OptimWrapper"), tmp_path)
    assert isinstance(runner.optim_wrapper, BFloat16OptimWrapper)
    assert dtypes == {torch.bfloat16}
    assert {weight.dtype for weight in runner.model.parameters()} == {torch.float32}
    assert runner.message_hub.get_info("best_score") < 6
