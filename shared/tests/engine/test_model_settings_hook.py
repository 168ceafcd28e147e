"""The hook behind the papers' own: settings go into checkpoints, and are compared when one is loaded."""

from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS
from torch import nn

from mmrepro.engine.model_settings_hook import ModelSettingsHook
from mmrepro.key_rules import CheckpointMismatchError
from mmrepro.model_settings import require_same_settings, stored_settings


class WidthHook(ModelSettingsHook):
    def settings(self, model):
        return {"layer": {"width": model.out_features, "scale": 2.0}}

    def compare(self, model, checkpoint):
        there = stored_settings(checkpoint.get("meta"), "layer", ["width"])
        here = self.settings(model)["layer"]
        require_same_settings(there, here, "file.pth", ("wide", "narrow"), difference, self.ignore.__contains__)


def difference(name, there, here):
    return f"{name}: {there} and {here}"


def test_what_is_saved_is_compared_on_loading():
    checkpoint = {"meta": {"epoch": 1}}
    wide, narrow = (SimpleNamespace(model=nn.Linear(1, width)) for width in (3, 2))
    WidthHook().before_save_checkpoint(wide, checkpoint)
    assert checkpoint["meta"] == {"epoch": 1, "model": {"layer": {"width": 3, "scale": 2.0}}}
    WidthHook().after_load_checkpoint(wide, checkpoint)
    with pytest.raises(CheckpointMismatchError) as refused:
        WidthHook().after_load_checkpoint(narrow, checkpoint)
    assert refused.value.problems == {"the file is wide, the config narrow": ["width: 3 and 2"]}
    WidthHook(ignore=["width"]).after_load_checkpoint(narrow, checkpoint)


@pytest.mark.parametrize("meta", [None, {}, {"model": 3}, {"model": {"layer": None}}, {"model": {"other": {}}}])
def test_a_file_that_says_nothing_is_not_compared(meta):
    WidthHook().after_load_checkpoint(SimpleNamespace(model=nn.Linear(1, 2)), {"meta": meta})


def test_it_runs_before_the_hook_that_lists_keys():
    assert ModelSettingsHook.priority == "HIGHEST"
    assert HOOKS.build(dict(type="StrictLoadHook")).priority == "VERY_HIGH"
