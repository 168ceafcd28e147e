"""Configs of a paper are read by name, path or as they are, and those of others refused."""

import shutil
import sys

import pytest
from mmengine.config import Config

from mmrepro.engine.errors import UserError
from mmrepro.paper_config import read_config

IMPORTS = "custom_imports = dict(imports=[{!r}], allow_failed_imports=False)\n"


def test_a_config_is_found_by_its_name_or_its_path_and_its_modules_are_imported(fake_paper):
    sys.modules.pop("mm_fake", None)
    config = read_config("fake", "fake_a")
    assert config.model.type == "FakeNet"
    assert "mm_fake" in sys.modules
    assert read_config("fake", fake_paper.root / "configs/fake/fake_a.py").model == config.model


def test_a_config_itself_is_copied(fake_paper):
    given = read_config("fake", "fake_a")
    found = read_config("fake", given)
    found.model.width = 9
    assert given.model.width == 4


def test_what_a_config_imports_beside_the_paper_is_there(fake_paper, tmp_path, monkeypatch):
    (tmp_path / "my_own_transforms.py").write_text("READY = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = read_config("fake", "fake_a")
    config.custom_imports.imports.append("my_own_transforms")
    read_config("fake", config)
    assert sys.modules.pop("my_own_transforms").READY


def test_configs_of_others_are_refused(fake_paper, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nor a config of fake\. Did you mean: fake_"):
        read_config("fake", "fake_c")
    (tmp_path / "other.py").write_text(IMPORTS.format("mm_unheard_of"))
    with pytest.raises(UserError, match=r"other\.py is not for this package: .* no mm_fake\. Fix: `mmrepro list fake`"):
        read_config("fake", tmp_path / "other.py")
    with pytest.raises(UserError, match="the config is not for this package"):
        read_config("fake", Config())
    with pytest.raises(UserError, match=r"other\.txt is no config"):
        read_config("fake", shutil.copy(tmp_path / "other.py", tmp_path / "other.txt"))
