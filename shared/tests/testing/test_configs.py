from __future__ import annotations

import tempfile

import pytest

from mmrepro.testing import load_config


def test_a_config_is_read_once_and_the_temporary_folder_is_as_before(tmp_path):
    (tmp_path / "base.py").write_text("a = 1\n")
    (tmp_path / "config.py").write_text('_base_ = "./base.py"\nb = 2\n')
    before = tempfile.gettempdir()
    config = load_config(tmp_path / "config.py")
    assert (config.a, config.b) == (1, 2)
    assert load_config(tmp_path / "config.py") is config
    (tmp_path / "broken.py").write_text("a = (\n")
    with pytest.raises(SyntaxError):
        load_config(tmp_path / "broken.py")
    assert tempfile.gettempdir() == before
