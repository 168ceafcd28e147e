"""Loading through mmengine's Runner: strictly, with official weights converted, and resuming its own files."""

from __future__ import annotations

import sys
import types
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn

from mmrepro import papers, safe_loading
from mmrepro.checkpoint import CheckpointMismatchError, KeyRules, Rename, save
from mmrepro.engine import components  # noqa: F401  registers the hook
from mmrepro.engine.strict_load_hook import StrictLoadHook, _differing

RULES = KeyRules([Rename("official.*", "layer.*"), Rename("output.*", "head.*")])


@MODELS.register_module()
class StrictLoadToy(BaseModel):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)
        self.head = nn.Linear(width, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss": self.head(self.layer(torch.stack(inputs))).square().mean()}


class Points(torch.utils.data.Dataset):
    def __init__(self, time_features: bool = True) -> None:
        self.metainfo = {"time_features": time_features, "freq": "h"}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        return {"inputs": torch.full((2,), float(index))}


@pytest.fixture(autouse=True)
def safely(monkeypatch):
    safe_loading.install()
    converter = types.ModuleType("mm_toy.checkpoint")
    converter.is_official = lambda state: "official.weight" in state
    converter.from_official = lambda state, **options: RULES.forward(state)
    monkeypatch.setitem(sys.modules, "mm_toy.checkpoint", converter)
    monkeypatch.setattr(papers, "module", lambda name: "mm_toy")


@pytest.fixture
def runner(tmp_path, request):
    def build(hook: dict | None = None, model: dict | None = None, time_features: bool = True, **settings) -> Runner:
        build.count += 1
        return Runner(
            model={"type": "StrictLoadToy", **(model or {})},
            work_dir=str(tmp_path / "work"),
            train_dataloader={
                "dataset": Points(time_features),
                "sampler": {"type": "DefaultSampler", "shuffle": False},
                "batch_size": 2,
            },
            optim_wrapper={"optimizer": {"type": "Adam", "lr": 0.01}},
            param_scheduler={"type": "MultiStepLR", "milestones": [1, 2], "gamma": 0.5},
            train_cfg={"by_epoch": True, "max_epochs": settings.pop("max_epochs", 1)},
            custom_hooks=[{"type": "StrictLoadHook", "paper": "toy", **(hook or {})}],
            default_scope="mmengine",
            experiment_name=f"{request.node.name}{build.count}",
            log_level="ERROR",
            **settings,
        )

    build.count = 0
    return build


def official_state() -> dict[str, torch.Tensor]:
    state = StrictLoadToy().state_dict()
    return {key.replace("layer", "official").replace("head", "output"): value for key, value in state.items()}


@pytest.mark.parametrize("wrap", [dict, lambda state: {"model": state, "args": Namespace(lr=1.0)}])
def test_official_weights_reach_the_model(runner, tmp_path, wrap):
    state = {f"module.{key}": value for key, value in official_state().items()}
    torch.save(wrap(state), tmp_path / "official.pth")
    run = runner(load_from=str(tmp_path / "official.pth"))
    run.load_or_resume()
    assert torch.equal(run.model.layer.weight, state["module.official.weight"])
    assert torch.equal(run.model.head.bias, state["module.output.bias"])


def test_safetensors_reach_the_model(runner, tmp_path):
    model = StrictLoadToy()
    save(tmp_path / "ours.safetensors", model.state_dict(), {"paper": "toy"})
    run = runner(load_from=str(tmp_path / "ours.safetensors"))
    run.load_or_resume()
    assert torch.equal(run.model.head.weight, model.head.weight)


def test_a_model_of_another_width_is_one_error_with_every_key(runner, tmp_path):
    torch.save({"state_dict": StrictLoadToy(width=5).state_dict()}, tmp_path / "wide.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        runner(load_from=str(tmp_path / "wide.pth")).load_or_resume()
    text = str(caught.value)
    assert "wide.pth" in text
    for key in ("layer.weight: (5, 2) in the file, (3, 2) in the model", "layer.bias", "head.weight"):
        assert key in text


def test_missing_and_unknown_keys_are_named(runner, tmp_path):
    state = StrictLoadToy().state_dict()
    state["stray"] = state.pop("head.bias")
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        runner(load_from=str(tmp_path / "other.pth")).load_or_resume()
    assert caught.value.problems == {"not in the file": ["head.bias"], "not in the model": ["stray"]}


def test_what_a_subclass_reads_is_checked_and_loaded(runner, tmp_path):
    @HOOKS.register_module(force=True)
    class HalvingLoadHook(StrictLoadHook):
        added: ClassVar = {}

        def read(self, runner, checkpoint):
            return {key: value / 2 for key, value in super().read(runner, checkpoint).items()} | self.added

    torch.save(official_state(), tmp_path / "official.pth")
    run = runner({"type": "HalvingLoadHook"}, load_from=str(tmp_path / "official.pth"))
    run.load_or_resume()
    halved = torch.load(tmp_path / "official.pth", weights_only=True)["official.weight"] / 2
    assert torch.equal(run.model.layer.weight, halved)
    HalvingLoadHook.added = {"stray": torch.zeros(1)}
    with pytest.raises(CheckpointMismatchError, match=r"official\.pth(.|\n)*stray"):
        runner({"type": "HalvingLoadHook"}, load_from=str(tmp_path / "official.pth")).load_or_resume()


def test_what_a_checkpoint_was_trained_with_is_compared_place_by_place():
    stored = {"codes": {"colour": ["red", "blue"], "size": ["s"]}, "pieces": ("a", "b")}
    assert list(_differing("table", stored, stored | {"pieces": ["a", "b"]})) == []
    permuted = stored | {"codes": {"colour": ["red", "green"], "size": ["s"]}}
    assert list(_differing("table", stored, permuted)) == ["table.codes.colour[1]: 'blue' in the file, 'green' here"]
    assert next(_differing("pieces", ("a", "b"), ["a"])) == "pieces: 2 values in the file, 1 here"
    assert list(_differing("table", stored["codes"], {"colour": ["red", "blue"]})) == [
        "table.size: ['s'] in the file, None here"
    ]


def test_what_is_ignored_keeps_its_fresh_weights(runner, tmp_path):
    other = StrictLoadToy(width=3)
    other.head = nn.Linear(3, 4)
    other.extra = nn.Linear(1, 1)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "pretrained.pth")
    run = runner({"ignore": ["head.", "extra."]}, load_from=str(tmp_path / "pretrained.pth"))
    fresh = run.model.head.weight.clone()
    run.load_or_resume()
    assert torch.equal(run.model.layer.weight, other.layer.weight)
    assert torch.equal(run.model.head.weight, fresh)


def test_settings_that_no_shape_shows_must_agree(runner, tmp_path):
    state = StrictLoadToy().state_dict()
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"time_features": False}}}, tmp_path / "plain.pth")
    hook = {"agree": ["time_features", "freq"]}
    with pytest.raises(CheckpointMismatchError, match="time_features: False in the file, True here"):
        runner(hook, load_from=str(tmp_path / "plain.pth")).train()
    runner(hook, time_features=False, load_from=str(tmp_path / "plain.pth")).train()
    torch.save({"state_dict": state, "meta": {"dataset_meta": None}}, tmp_path / "silent.pth")
    runner(hook, load_from=str(tmp_path / "silent.pth")).train()


def test_mmengines_own_checkpoint_resumes(runner, tmp_path):
    first = runner(max_epochs=2, cfg={"note": "the running config"})
    first.message_hub.update_info("best", np.float64(0.25))
    first.message_hub.update_info("folder", Path("work"))
    first.train()
    assert "running config" in first.message_hub.get_info("cfg")

    second = runner(max_epochs=3, resume=True, cfg={"note": "the running config"})
    second.load_or_resume()
    assert (second.epoch, second.iter) == (2, 4)
    for key, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[key], value)
    assert second.optim_wrapper.state_dict()["state"][0]["step"] == 4
    assert second.message_hub.get_scalar("train/loss").data[0].shape == (4,)
    assert second.message_hub.get_info("best") == np.float64(0.25)
    assert second.message_hub.get_info("folder") == Path("work")


def test_the_next_checkpoint_of_a_resumed_run_has_the_running_config(runner, tmp_path):
    runner(max_epochs=1, cfg={"note": "the running config"}).train()
    runner(max_epochs=2, resume=True, cfg={"note": "the running config"}).train()
    with zipfile.ZipFile(tmp_path / "work" / "epoch_2.pth") as archive:
        written = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    assert written.count(b"the running config") == 2  # in the meta and in the message hub
    assert safe_loading.CONFIG_STAND_IN.encode() not in written


def test_no_training_is_resumed_from_weights_alone(runner, tmp_path):
    torch.save(official_state(), tmp_path / "official.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        runner(resume=True, load_from=str(tmp_path / "official.pth")).load_or_resume()
    for words in ("official.pth", "no training can be resumed", "load_from="):
        assert words in str(caught.value)
