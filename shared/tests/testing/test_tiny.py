from __future__ import annotations

import pytest
from mmengine.config import Config

from mmrepro.testing import tiny

CONFIG = """
model = dict(d_model=512, layers=dict(depth=4, heads=8))
train_dataloader = dict(batch_size=32)
tiny = {"model": dict(layers=dict(depth=1)), "train_dataloader.batch_size": 2}
"""


def test_hints_are_merged_into_a_copy():
    config = Config.fromstring(CONFIG, ".py")
    small = tiny(config)
    assert small.model == {"d_model": 512, "layers": {"depth": 1, "heads": 8}}
    assert small.train_dataloader.batch_size == 2
    assert config.model.layers.depth == 4


def test_a_setting_is_removed_where_there_is_one():
    hints = {"optim.type": "Plain", "optim.scale": "_removed_", "model.other": "_removed_"}
    config = Config({"model": {"width": 2}, "optim": {"type": "Amp", "scale": 512}, "tiny": hints})
    small = tiny(config)
    assert (small.optim, small.model) == ({"type": "Plain"}, {"width": 2})
    assert config.optim.scale == 512


def test_a_config_without_hints_is_an_error():
    with pytest.raises(KeyError, match="declares no `tiny"):
        tiny(Config({"model": {}}))


def test_it_can_be_made_tiny_twice():
    config = Config({"data": {"type": "A", "file": "a"}, "tiny": {"data": {"_delete_": True, "type": "B"}}})
    assert tiny(config).data == tiny(config).data == {"type": "B"}
